"""What an output folder holds: which run wrote it, and which videos are finished."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from util.atomic import atomic_write

FOLDER = ".corrvos"  # hidden, so that scorers and servers see folders of masks only


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """What segmenting a video gave: its objects, the frames segmented, the seconds that took, and the masks' names."""

    name: str
    objects: int
    frames: int
    seconds: float
    masks: list[str]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; raises FileNotFoundError if it is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def open_output(output: Path, settings: Mapping[str, Any], videos: list[str], overwrite: bool) -> None:
    """Prepare an output folder for a run with these `settings` (JSON values).

    With the same settings as before, finished videos stay finished. `overwrite` forgets them.
    Raises ValueError if the folder was written with other settings, or holds masks of unknown origin for one of
    `videos`: results of different runs never mix silently. OSError if the folder can't be written.
    """
    record = output / FOLDER / "run.json"
    if overwrite and record.parent.is_dir():
        shutil.rmtree(record.parent)
    if record.is_file():
        _check_same(output, json.loads(record.read_text()), json.loads(json.dumps(settings)))
        return
    if not overwrite:
        foreign = next((video for video in videos if any((output / video).glob("*.png"))), None)
        if foreign is not None:
            raise ValueError(
                f"{output / foreign} holds masks that no recorded run wrote: choose another --output, "
                "or replace them with --overwrite"
            )
    with atomic_write(record) as temporary:
        temporary.write_text(json.dumps(settings, indent=1))


def read_finished(output: Path, video: str) -> VideoResult | None:
    """Return a video's result if this folder's run finished it and its masks are still there."""
    path = _result_path(output, video)
    if not path.is_file():
        return None
    result = VideoResult(**json.loads(path.read_text()))
    complete = all((output / video / f"{name}.png").is_file() for name in result.masks)
    return result if complete else None


def write_finished(output: Path, result: VideoResult) -> None:
    """Record that a video is finished; call it when its last mask is on disk."""
    with atomic_write(_result_path(output, result.name)) as temporary:
        temporary.write_text(json.dumps(asdict(result)))


def _result_path(output: Path, video: str) -> Path:
    return output / FOLDER / "videos" / f"{video}.json"


def _check_same(output: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        differences = ", ".join(f"{key} {before.get(key)!r} (now {now.get(key)!r})" for key in changed)
        raise ValueError(
            f"{output} was written with other settings: {differences}: choose another --output, or start over with "
            "--overwrite"
        )
