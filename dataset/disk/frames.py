"""Frames of a video as RGB pictures, one at a time: from a folder of images; films lie in `dataset.disk.films`."""

import logging
import os
import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import UnidentifiedImageError

from dataset.disk.films import USUAL_FPS, VideoFileFrames
from util.files.picture import TooLargeError, open_picture, orientation
from util.files.picture import upright as turn_upright
from util.parallel.threads import in_order

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
_IMAGE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# How OpenCV decodes a picture at a share of its size.
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class FrameSource(Protocol):
    """Named frames in order. A source can be read several times, also at the same time."""

    path: Path

    @property
    def fps(self) -> float:
        """Frames per second."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame in pixels."""

    @property
    def names(self) -> list[str]:
        """Names of all frames in order."""

    def read(self, threads: int = 1) -> Generator[tuple[str, np.ndarray], None, None]:
        """Yield the name and the picture [H,W,3] uint8 RGB of each frame; `threads` decode files of their own."""


class FolderFrames:
    """Frames from a folder of images, upright, named after their files, in natural order (2 before 10)."""

    def __init__(self, path: Path, images: Sequence[str] | None = None) -> None:
        """List the images of a folder; of `images`, file names, those alone, in that order.

        Raises FileNotFoundError for a missing folder or file, ValueError for one without images or with a name twice.
        """
        self.path = path
        self._files = list_images(path) if images is None else {Path(name).stem: path / name for name in images}
        # One listing, not a look at every file: BURST has a million.
        there = set(os.listdir(path)) if images is not None and path.is_dir() else set()
        missing = [name for name in images or () if name not in there]
        if missing:
            raise FileNotFoundError(f"{path} lacks {len(missing)} of {len(self._files)} frames, such as {missing[0]}.")
        if not self._files:
            folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())[:3]
            hint = f"; it holds folders ({', '.join(folders)}): give one of those" if folders else ""
            raise ValueError(f"no frames in {path}: expected images ({', '.join(IMAGE_SUFFIXES)}){hint}.")

    @property
    def fps(self) -> float:
        """Frames per second: DAVIS's rate, as a folder does not say it."""
        return USUAL_FPS

    @property
    def names(self) -> list[str]:
        """Names of all frames: the file names without suffix."""
        return list(self._files)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame in pixels."""
        file = next(iter(self._files.values()))
        try:
            with open_picture(file) as image:
                return (image.width, image.height) if orientation(image) > 4 else (image.height, image.width)
        except (OSError, SyntaxError, ValueError):
            rgb = read_rgb(file, upright=True)  # it raises the full message
            return rgb.shape[0], rgb.shape[1]

    def is_turned(self, name: str) -> bool:
        """Return whether a frame's sides change places, as its orientation tag says."""
        with open_picture(self._files[name]) as image:
            return orientation(image) > 4

    def read(self, threads: int = 1) -> Generator[tuple[str, np.ndarray], None, None]:
        """Yield the name and the picture [H,W,3] uint8 RGB of each frame; `threads` decode."""
        yield from in_order(lambda item: (item[0], read_rgb(item[1], upright=True)), self._files.items(), threads)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of all frames."""
        return tuple(self._files.values())

    def at(self, index: int) -> np.ndarray:
        """Return the frame of a number, counted from 0, as [H,W,3] uint8 RGB."""
        return read_rgb(self.files[index], upright=True)


def open_frames(path: Path, *, allow_truncated: bool = False) -> FrameSource:
    """Open a folder of images or a video file; the file's content counts, not its suffix.

    Raises:
        FileNotFoundError: when there is neither.
        ValueError: when it holds no frames, or is a film that ends early and this is not allowed.
    """
    if path.is_dir():
        return FolderFrames(path)
    if path.is_file():
        return VideoFileFrames(path, allow_truncated=allow_truncated)
    raise FileNotFoundError(f"video {path} does not exist: expected a folder of images or a video file.")


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by name (without suffix) in natural order; hidden files don't count.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when two files differ in their suffix only.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist: expected a folder of images.")
    files = [
        file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    by_name: dict[str, Path] = {}
    for file in sorted(files, key=lambda file: natural_key(file.name)):
        if file.stem in by_name:
            raise ValueError(f"{folder} holds both {by_name[file.stem].name} and {file.name}: remove one of them.")
        by_name[file.stem] = file
    return by_name


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sorting key that takes runs of digits as numbers: frame2 comes before frame10."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def read_rgb(path: Path, *, upright: bool = False) -> np.ndarray:
    """Read an image as [H,W,3] uint8 RGB, `upright` as its EXIF orientation says or, as masks know of none, as stored.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no image, is truncated, has too many pixels, or more than 8 bits per channel.
    """
    if not path.is_file():
        raise FileNotFoundError(f"frame {path} does not exist.")
    try:
        with open_picture(path) as image:
            if image.mode not in _IMAGE_MODES:
                raise _UnfitMode(image.mode)
            turned = turn_upright(image) if upright else image
            return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))
    except _UnfitMode as error:
        raise ValueError(f"frame {path} has mode {error}: expected 8 bits per channel. Convert it to RGB.") from None
    except TooLargeError as error:
        raise ValueError(f"frame {error}") from None
    except UnidentifiedImageError as error:
        raise ValueError(
            f"frame {path} is not an image. Expected a JPEG or PNG; remove or replace the file."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:  # PIL raises each of them for damaged files
        raise ValueError(f"frame {path} is truncated or damaged ({error}). Copy or download it again.") from error


def read_reduced(path: Path, reduction: int) -> np.ndarray:
    """Read a picture as uint8 RGB at 1/1, 1/2, 1/4 or 1/8 of its size, for training: a crop rarely needs all of it.

    Each pixel is the mean of a block of the original; a JPEG's decoder does that nearly for free. Rows and columns
    that do not fill a block are left out, or kept as a last narrower one. Orientation tags don't count, as masks have
    none.

    Raises FileNotFoundError and ValueError as `read_rgb`.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    # OpenCV fills the missing rest of a truncated JPEG with grey; PIL, behind read_rgb, refuses such a file.
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" in data[-64:] and not _too_large(path, data):
        flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr is not None:
            return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return reduce_picture(read_rgb(path), reduction)


def reduce_picture(rgb_HW3: np.ndarray, reduction: int) -> np.ndarray:
    """Return a picture [H,W,3] at 1/1, 1/2, 1/4 or 1/8 of its size, as `read_reduced`."""
    if reduction == 1:
        return rgb_HW3
    rows, columns = (max(side // reduction, 1) for side in rgb_HW3.shape[:2])
    whole = rgb_HW3[: rows * reduction, : columns * reduction]
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)


def _too_large(path: Path, data: bytes) -> bool:
    try:
        with open_picture(path, data):
            return False
    except TooLargeError:
        return True
    except (OSError, SyntaxError, ValueError):
        return False


class _UnfitMode(Exception):
    pass
