"""Checks the files of one video: are they there, readable, and do they fit together? And which check a task is for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset.disk.check_files import Findings, Size, examples, read_all, read_ids, read_size, shape, wrong_sizes
from dataset.disk.check_films import FilmTask, check_film
from dataset.disk.check_pictures import PicturesTask, check_pictures
from dataset.disk.frames import list_images
from dataset.disk.layout import Annotated
from dataset.disk.masks import object_folders

# Names that systems leave behind and no program here reads.
_BY_THE_WAY = (".txt", ".json", ".md", ".db", ".ini", "")


@dataclass(frozen=True, kw_only=True)
class VideoTask:
    """A video to check.

    Attributes:
        part: of the data set.
        name: the video's.
        frames: the folder of its frames.
        masks: the folder of its masks, if it has any.
        annotated: which frames must have a mask.
        quick: read headers only.
        void: an id that is no object, but pixels that are not annotated; 0 for none.
        objects: every object has a folder of binary masks in `masks`.
    """

    part: str
    name: str
    frames: Path
    masks: Path | None
    annotated: Annotated
    quick: bool = False
    void: int = 0
    objects: bool = False


Task = VideoTask | PicturesTask | FilmTask


def check(task: Task) -> Findings:
    """Check the files of a task; what is wrong with them is in the result, never an error."""
    if isinstance(task, VideoTask):
        return check_video(task)
    return check_film(task) if isinstance(task, FilmTask) else check_pictures(task)


def check_video(task: VideoTask) -> Findings:
    """Check a video: all frames readable and of one size, masks where they must be, of the frames' size, with ids."""
    problems: list[str] = []
    frames, masks = _list(task.frames, problems), {}
    if task.masks is not None and task.masks.is_dir():
        masks = _list_masks(task, task.masks, problems)
    if not frames:
        problems.append(
            f"{task.frames} holds no frames. Add them or remove the folder and the video's name from lists."
        )
    problems += _missing_masks(task, frames, masks)
    problems += _stray_masks(frames, masks)
    frame_sizes = read_all(frames, lambda path: read_size(path, task.quick), problems)
    if len(set(frame_sizes.values())) > 1:
        problems.append(f"{task.frames}: frames of different sizes: {_describe(frame_sizes)}. Resize them to one size.")
    mask_sizes: dict[str, Size] = {}
    objects: dict[int, str] = {}
    for name, (size, ids) in read_all(masks, lambda path: read_ids(path, task.quick), problems).items():
        mask_sizes[name] = size
        for number in [int(Path(name).parent.name) + 1] if task.objects and ids else ids:
            if number != task.void:
                objects.setdefault(number, name)
    problems += wrong_sizes(frame_sizes, mask_sizes, masks)
    if mask_sizes and not objects and not task.quick:
        problems.append(f"{task.masks}: no mask holds an object. Give object ids of 1 and above, or remove the video.")
    return Findings(
        part=task.part,
        name=task.name,
        frames=len(frames),
        masks=len(masks),
        objects=objects,
        sizes=Counter(frame_sizes.values()),
        problems=tuple(problems),
        frame_names=frozenset(frames),
    )


def _list(folder: Path, problems: list[str]) -> dict[str, Path]:
    try:
        images = list_images(folder)
    except (ValueError, OSError) as error:
        problems.append(str(error))
        return {}
    strange = [
        entry.name
        for entry in folder.iterdir()
        if entry.is_file() and not entry.name.startswith(".") and entry not in images.values()
    ]
    strange = sorted(name for name in strange if Path(name).suffix.lower() not in _BY_THE_WAY)
    if strange:
        problems.append(
            f"{folder}: {len(strange)} files are no JPEG or PNG ({examples(strange)}). Convert or remove them."
        )
    return images


def _list_masks(task: VideoTask, folder: Path, problems: list[str]) -> dict[str, Path]:
    """Return the masks by the names of their frames; before that stands the object's folder, if each has one."""
    if not task.objects:
        return _list(folder, problems)
    try:
        names = object_folders(folder)
    except ValueError as error:
        problems.append(str(error))
        return {}
    return {f"{name}/{frame}": path for name in names for frame, path in _list(folder / name, problems).items()}


def _missing_masks(task: VideoTask, frames: Mapping[str, Path], masks: Mapping[str, Path]) -> list[str]:
    if task.masks is None or task.annotated == "none" or not frames:
        return []
    if not masks:
        return [f"{task.masks} holds no masks, {task.frames} {len(frames)} frames. Add the masks or remove the video."]
    if task.annotated == "some":
        return []
    first = next(iter(frames))
    wanted = [*frames] if task.annotated == "every" else [first]
    if task.objects:
        wanted = [
            f"{folder}/{name}" for folder in dict.fromkeys(Path(name).parent.name for name in masks) for name in wanted
        ]
    missing = [name for name in wanted if name not in masks]
    if not missing:
        return []
    return [
        f"{task.masks}: {len(missing)} of {len(wanted)} frames that need a mask have none "
        f"({examples(f'{name}.png' for name in missing)}). Add the masks or remove the frames."
    ]


def _stray_masks(frames: Mapping[str, Path], masks: Mapping[str, Path]) -> list[str]:
    stray = [path for name, path in masks.items() if Path(name).name not in frames]
    if not stray or not frames:
        return []
    return [
        f"{stray[0].parent}: {len(stray)} masks have no frame of their name "
        f"({examples(path.name for path in stray)}). Name masks after their frames, or remove them."
    ]


def _describe(sizes: Mapping[str, Size]) -> str:
    first: dict[Size, str] = {}
    for name, size in sizes.items():
        first.setdefault(size, name)
    counts = Counter(sizes.values())
    return ", ".join(f"{counts[size]} of {shape(size)} (from {name})" for size, name in first.items())
