"""Checks the files of one video, or of some static pictures: are they there, readable, and do they fit together?"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import UnidentifiedImageError

from dataset.disk.frames import list_images
from dataset.disk.layout import Annotated
from util.files.palette import object_ids, read_mask
from util.files.picture import TooLargeError, open_picture

_EXAMPLES = 5
_MASK_MODES = ("1", "L", "LA", "P", "I", "I;16", "I;16B")
# Names that systems leave behind and no program here reads.
_BY_THE_WAY = (".txt", ".json", ".md", ".db", ".ini", "")

T = TypeVar("T")
Size = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True, kw_only=True)
class VideoTask:
    """A video to check: its folders, which frames must have a mask, and whether to read headers only."""

    part: str
    name: str
    frames: Path
    masks: Path | None
    annotated: Annotated
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class PicturesTask:
    """Static pictures to check: stems of one folder; the picture is `stem.jpg`, its mask `stem.png`."""

    part: str
    folder: Path
    stems: tuple[str, ...]
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found.

    Attributes:
        part: the part or set of the task.
        name: the video's name; "" for pictures.
        frames: number of frames or pictures.
        masks: number of masks.
        objects: a video's ids, and for each the first mask (name) that shows it; empty in a quick check.
        pictured: number of static pictures with an object.
        sizes: how many frames have each size (height, width).
        problems: one text each, with what to do about it.
        frame_names: of a video, for the lists that name frames.
    """

    part: str
    name: str = ""
    frames: int = 0
    masks: int = 0
    objects: Mapping[int, str]
    pictured: int = 0
    sizes: Mapping[Size, int]
    problems: tuple[str, ...]
    frame_names: frozenset[str] = frozenset()


def check(task: VideoTask | PicturesTask) -> Findings:
    """Check the files of a task; what is wrong with them is in the result, never an error."""
    return check_video(task) if isinstance(task, VideoTask) else check_pictures(task)


def check_video(task: VideoTask) -> Findings:
    """Check a video: all frames readable and of one size, masks where they must be, of the frames' size, with ids."""
    problems: list[str] = []
    frames, masks = _list(task.frames, problems), {}
    if task.masks is not None and task.masks.is_dir():
        masks = _list(task.masks, problems)
    if not frames:
        problems.append(
            f"{task.frames} holds no frames. Add them or remove the folder and the video's name from lists."
        )
    problems += _missing_masks(task, frames, masks)
    problems += _stray_masks(frames, masks)
    frame_sizes = _read_all(frames, lambda path: read_size(path, task.quick), problems)
    if len(set(frame_sizes.values())) > 1:
        problems.append(f"{task.frames}: frames of different sizes: {_describe(frame_sizes)}. Resize them to one size.")
    mask_sizes: dict[str, Size] = {}
    objects: dict[int, str] = {}
    for name, (size, ids) in _read_all(masks, lambda path: read_ids(path, task.quick), problems).items():
        mask_sizes[name] = size
        for number in ids:
            objects.setdefault(number, name)
    problems += _wrong_sizes(frame_sizes, mask_sizes, masks)
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


def check_pictures(task: PicturesTask) -> Findings:
    """Check static pictures: each readable, with a mask of its size that holds an object."""
    # Imported here: the reader of soft masks lies with the training data and brings PyTorch with it.
    from dataset.train.pictures import read_static_mask

    def read_static(path: Path) -> tuple[Size, list[int]]:
        return (read_size(path, True), []) if task.quick else _size_and_ids(read_static_mask(path))

    problems: list[str] = []
    pictures = {stem: task.folder / f"{stem}.jpg" for stem in task.stems}
    masks = {stem: path.with_suffix(".png") for stem, path in pictures.items()}
    missing = [stem for stem, path in masks.items() if not path.is_file()]
    if missing:
        problems.append(
            f"{task.folder}: {len(missing)} of {len(pictures)} pictures have no mask beside them "
            f"({_examples(f'{stem}.jpg' for stem in missing)}). Put each mask x.png beside its picture x.jpg."
        )
    present = {stem: path for stem, path in masks.items() if stem not in set(missing)}
    sizes = _read_all(pictures, lambda path: read_size(path, task.quick), problems)
    found = _read_all(present, read_static, problems)
    empty = [] if task.quick else [f"{stem}.png" for stem, (_, ids) in found.items() if not ids]
    if empty:
        problems.append(
            f"{task.folder}: {len(empty)} masks without an object ({_examples(empty)}). Remove these pictures."
        )
    problems += _wrong_sizes(sizes, {stem: size for stem, (size, _) in found.items()}, masks)
    return Findings(
        part=task.part,
        frames=len(pictures),
        masks=len(present),
        objects={},
        pictured=sum(bool(ids) for _, ids in found.values()),
        sizes=Counter(sizes.values()),
        problems=tuple(problems),
    )


def read_size(path: Path, quick: bool = False) -> Size:
    """Return an image's height and width; decodes it to the end unless `quick`.

    Raises ValueError when it is no image, or damaged.
    """
    try:
        with open_picture(path) as image:
            size = (image.height, image.width)
            if not quick:
                # An eighth of the resolution reads a JPEG's data to the end, too, and is several times faster.
                image.draft("RGB", (max(image.width // 8, 1), max(image.height // 8, 1)))
                image.load()
            return size
    except TooLargeError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not an image. Copy or download it again.") from error
    except (OSError, SyntaxError, ValueError) as error:  # PIL raises each of them for damaged files
        raise ValueError(f"{path} is truncated or damaged ({error}). Copy or download it again.") from error


def read_ids(path: Path, quick: bool = False) -> tuple[Size, list[int]]:
    """Return a mask's height and width and its object ids (none if `quick`: then only the header is read).

    Raises ValueError when it is no image, damaged, or can't hold ids.
    """
    if not quick:
        return _size_and_ids(read_mask(path))
    size = read_size(path, quick=True)
    with open_picture(path) as image:
        if image.mode not in _MASK_MODES or image.format == "JPEG":
            return _size_and_ids(read_mask(path))  # raises the full message
    return size, []


def pictures_of(folder: Path, problems: list[str]) -> list[str]:
    """Return the stems of the pictures `*.jpg` in a folder; adds to `problems` what training would not find or read."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    jpegs = [name for name in names if Path(name).suffix.lower() in (".jpg", ".jpeg")]
    other = [name for name in jpegs if not name.endswith(".jpg")]
    if other:
        problems.append(f"{folder}: {len(other)} pictures are not named x.jpg ({_examples(other)}). Rename them.")
    stems = {Path(name).stem for name in jpegs}
    alone = [name for name in names if name.endswith(".png") and Path(name).stem not in stems]
    if alone:
        problems.append(
            f"{folder}: {len(alone)} masks x.png without a picture x.jpg ({_examples(alone)}). Add or remove them."
        )
    return [Path(name).stem for name in jpegs if name.endswith(".jpg")]


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
            f"{folder}: {len(strange)} files are no JPEG or PNG ({_examples(strange)}). Convert or remove them."
        )
    return images


def _missing_masks(task: VideoTask, frames: Mapping[str, Path], masks: Mapping[str, Path]) -> list[str]:
    if task.masks is None or task.annotated == "none" or not frames:
        return []
    if not masks:
        return [f"{task.masks} holds no masks, {task.frames} {len(frames)} frames. Add the masks or remove the video."]
    if task.annotated == "some":
        return []
    first = next(iter(frames))
    wanted = frames if task.annotated == "every" else (first,)
    missing = [name for name in wanted if name not in masks]
    if not missing:
        return []
    return [
        f"{task.masks}: {len(missing)} of {len(wanted)} frames that need a mask have none "
        f"({_examples(f'{name}.png' for name in missing)}). Add the masks or remove the frames."
    ]


def _stray_masks(frames: Mapping[str, Path], masks: Mapping[str, Path]) -> list[str]:
    stray = [path for name, path in masks.items() if name not in frames]
    if not stray or not frames:
        return []
    return [
        f"{stray[0].parent}: {len(stray)} masks have no frame of their name "
        f"({_examples(path.name for path in stray)}). Name masks after their frames, or remove them."
    ]


def _read_all(paths: Mapping[str, Path], read: Callable[[Path], T], problems: list[str]) -> dict[str, T]:
    """Read each file; those that can't be are problems and missing in the result."""
    results = {}
    for name, path in paths.items():
        try:
            results[name] = read(path)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    return results


def _wrong_sizes(frames: Mapping[str, Size], masks: Mapping[str, Size], paths: Mapping[str, Path]) -> list[str]:
    wrong = [name for name, size in masks.items() if name in frames and frames[name] != size]
    if not wrong:
        return []
    name = wrong[0]
    return [
        f"{paths[name].parent}: {len(wrong)} masks differ in size from their frames ({_examples(wrong)}; {name}: mask "
        f"{_shape(masks[name])}, frame {_shape(frames[name])}). Resize the masks with nearest neighbour, or the frames."
    ]


def _size_and_ids(mask_HW: np.ndarray) -> tuple[Size, list[int]]:
    return (mask_HW.shape[0], mask_HW.shape[1]), object_ids(mask_HW)


def _describe(sizes: Mapping[str, Size]) -> str:
    first: dict[Size, str] = {}
    for name, size in sizes.items():
        first.setdefault(size, name)
    counts = Counter(sizes.values())
    return ", ".join(f"{counts[size]} of {_shape(size)} (from {name})" for size, name in first.items())


def _shape(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _examples(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_EXAMPLES]) + (", ..." if len(shown) > _EXAMPLES else "")
