"""What checks of a data set have in common: findings, and readers of files that may be anything."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import UnidentifiedImageError

from util.files.palette import object_ids, read_mask
from util.files.picture import TooLargeError, open_picture

_EXAMPLES = 5
_MASK_MODES = ("1", "L", "LA", "P", "I", "I;16", "I;16B")

T = TypeVar("T")
Size = tuple[int, int]  # height and width in pixels


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
        return size_and_ids(read_mask(path))
    size = read_size(path, quick=True)
    with open_picture(path) as image:
        if image.mode not in _MASK_MODES or image.format == "JPEG":
            return size_and_ids(read_mask(path))  # raises the full message
    return size, []


def read_all(paths: Mapping[str, Path], read: Callable[[Path], T], problems: list[str]) -> dict[str, T]:
    """Read each file; those that can't be read are problems, and missing in the result."""
    results = {}
    for name, path in paths.items():
        try:
            results[name] = read(path)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    return results


def wrong_sizes(frames: Mapping[str, Size], masks: Mapping[str, Size], paths: Mapping[str, Path]) -> list[str]:
    """Compare each mask's size with its frame's; a mask's name may have the folder of its object before the frame's."""
    of_mask = {name: Path(name).name for name in masks}
    wrong = [name for name, size in masks.items() if frames.get(of_mask[name], size) != size]
    if not wrong:
        return []
    name = wrong[0]
    return [
        f"{paths[name].parent}: {len(wrong)} masks differ in size from their frames ({examples(wrong)}; {name}: mask "
        f"{shape(masks[name])}, frame {shape(frames[of_mask[name]])}). Resize the masks with nearest neighbour, or the "
        "frames."
    ]


def size_and_ids(mask_HW: np.ndarray) -> tuple[Size, list[int]]:
    """Return height, width and ids of a mask."""
    return (mask_HW.shape[0], mask_HW.shape[1]), object_ids(mask_HW)


def shape(size: Size) -> str:
    """Return a size in words, width first."""
    return f"{size[1]}x{size[0]}"


def examples(names: Iterable[str]) -> str:
    """Return the first few names."""
    shown = list(names)
    return ", ".join(shown[:_EXAMPLES]) + (", ..." if len(shown) > _EXAMPLES else "")
