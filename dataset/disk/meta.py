"""The JSON files that come with data sets: objects of each video, and the frames whose results are wanted."""

import json
from pathlib import Path
from typing import Any

from dataset.disk.lists import check_name

YOUTUBE, LVOS = "a YouTube-VOS meta.json", "an LVOS meta.json"
LVOS_STEP = 5  # from the number of one of its frames to the next


def read_json(path: Path, what: str) -> Any:
    """Return what a JSON file holds; byte order marks do not count.

    Raises FileNotFoundError or ValueError, with `what` was expected, when it is missing or no JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected {what}.")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # of UTF-8, too
        raise ValueError(f"{path} is not a JSON file ({error}); expected {what}.") from error


def read_objects(meta: Path, field: str, what: str = YOUTUBE) -> dict[str, dict[str, Any]]:
    """Return one field of every object in YouTube-VOS's meta.json, or LVOS's (`what`), by video and object id.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another form, or videos with names that are none.
    """
    content = read_json(meta, what)
    try:
        found = {
            name: {str(int(key)): entry[field] for key, entry in video["objects"].items()}
            for name, video in content["videos"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{meta} is not {what}: expected {{"videos": {{name: {{"objects": {{id: '
            f'{{"{field}": ...}}}}}}}}}}, it has another layout ({type(error).__name__}: {error}).'
        ) from error
    for name in found:
        check_name(name, f"{meta}, videos")
    return found


def youtube_frames(meta: Path) -> dict[str, dict[str, list[str]]]:
    """Return the frames of each object that YouTube-VOS's meta.json asks for, by video and object id.

    Raises as `read_objects`, and ValueError for frames that are no list of names.
    """
    found = read_objects(meta, "frames")
    for video, objects in found.items():
        for key, frames in objects.items():
            if not isinstance(frames, list):
                raise ValueError(f"{meta}: frames of {video}, object {key}: expected a list, received {frames!r}.")
            objects[key] = [check_name(str(frame), f"{meta}, frames of {video}") for frame in frames]
    return found


def lvos_frames(meta: Path) -> dict[str, dict[str, list[str]]]:
    """Return the frames of each object in LVOS's meta.json, by video and object id: every fifth from start to end.

    Raises as `read_objects`, and ValueError for a range that is none.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for video, objects in read_objects(meta, "frame_range", LVOS).items():
        for key, frames in objects.items():
            try:
                numbers = range(int(frames["start"]), int(frames["end"]) + 1, LVOS_STEP)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{meta}: frame_range of {video}, object {key}: expected start and end, received {frames!r}."
                ) from error
            found.setdefault(video, {})[key] = [f"{number:08d}" for number in numbers]
    return found


def required_frames(meta: Path) -> dict[str, set[str]]:
    """Return the frames of each video that YouTube-VOS's meta.json asks for (those of any of its objects).

    Raises as `youtube_frames`.
    """
    return {
        video: {frame for frames in objects.values() for frame in frames}
        for video, objects in youtube_frames(meta).items()
    }
