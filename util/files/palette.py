"""Mask files: object ids in palette or grey PNGs, and pictures of them."""

import logging
import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from util.files.atomic import atomic_write
from util.files.picture import TooLargeError, open_picture

logger = logging.getLogger(__name__)

# Palette entries that DAVIS colours; the rest of its palette is grey.
_DAVIS_COLOURS = 22
# A file with at most this many values is never taken for an anti-aliased one.
_FEW_VALUES = 4
_LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "JPEG2000")
# Bright colours for pictures (the palette's own are dark): object ids take them in turn.
_OVERLAY_COLOURS = (
    (239, 71, 71), (67, 190, 93), (255, 201, 51), (58, 134, 255), (214, 92, 214), (38, 198, 200),
    (255, 140, 50), (150, 111, 250), (176, 221, 60), (255, 138, 176),
)  # fmt: skip


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read object ids [H,W] as stored: uint8, or uint16 from a 16-bit grey file; 0 is background.

    Palette indices, 8-bit, 16-bit and 1-bit grey are ids; of grey with alpha the first channel counts.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is no image, is damaged, or holds something else than ids: colours (RGB), a JPEG's
            noise, or the soft edges of an anti-aliased or smoothly resized mask.
    """
    path = Path(path)
    mode, file_format, ids = _read_pixels(path)
    if file_format in _LOSSY_FORMATS:
        raise ValueError(
            f"mask {path} is a {file_format} file: lossy compression changes ids. Expected a PNG with a palette or "
            "grey ids; save the mask as PNG."
        )
    if mode == "1":
        return ids.astype(np.uint8)
    if mode == "P":
        return ids
    if mode in ("LA", "L", "I;16", "I;16B", "I"):
        ids = ids[..., 0] if ids.ndim == 3 else ids
        if ids.min() < 0 or ids.max() > 65535:
            raise ValueError(f"mask {path} holds values outside 0..65535; save the ids as 8-bit or 16-bit grey.")
        ids = np.ascontiguousarray(ids, dtype=np.uint8 if mode in ("L", "LA") else np.uint16)
        _refuse_soft_edges(path, ids)
        return ids
    raise ValueError(
        f"mask {path} has mode {mode}: colours are not object ids. Expected a PNG with a palette or grey ids; "
        "`python scripts/convert_masks.py FOLDER --output NEW_FOLDER` gives each colour an id."
    )


def write_mask(path: str | os.PathLike[str], ids: np.ndarray) -> None:
    """Write object ids [H,W] (integers 0..65535) as a PNG with the DAVIS palette, whole or not at all.

    A palette holds ids up to 255: a mask with larger ones becomes a 16-bit grey PNG, which the log says once.

    Raises:
        ValueError: for another shape, dtype or range.
        OSError: when the file cannot be written.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"a mask to write to {path} must be integers [H,W], received {ids.dtype} {ids.shape}.")
    smallest, largest = int(ids.min()), int(ids.max())
    if smallest < 0 or largest > 65535:
        raise ValueError(f"ids to write to {path} must lie in 0..65535, received {smallest}..{largest}.")
    if largest > 255:
        _say_once_that_ids_need_16_bits()
        image = Image.fromarray(np.ascontiguousarray(ids, dtype=np.uint16))
    else:
        image = Image.fromarray(np.ascontiguousarray(ids, dtype=np.uint8))
        image.putpalette(davis_palette().tobytes())
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def count_ids(ids: np.ndarray) -> np.ndarray:
    """Return how many pixels of a mask [H,W], uint8 or uint16, have each value: integers."""
    if ids.dtype == np.uint8:  # three times as fast as bincount, which makes 64-bit integers of all pixels first
        return cv2.calcHist([ids], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return np.bincount(ids.ravel())


def object_ids(ids_HW: np.ndarray) -> list[int]:
    """Return the ids above 0 that occur in a mask [H,W], uint8 or uint16, in rising order."""
    return [int(number) for number in np.flatnonzero(count_ids(ids_HW)) if number > 0]


@cache
def _palette() -> np.ndarray:
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    for index in range(_DAVIS_COLOURS):
        # Bits 0, 1, 2 of the index are the high bits of red, green, blue; bits 3, 4, 5 the next ones.
        for channel in range(3):
            high, low = index >> channel & 1, index >> channel + 3 & 1
            palette[index, channel] = (0, 64, 128, 191)[2 * high + low]
    palette.setflags(write=False)
    return palette


def davis_palette() -> np.ndarray:
    """Return the colours [256,3] uint8 (RGB) of the palette in the DAVIS-2017 annotations."""
    return _palette()


def overlay(
    rgb_HW3: np.ndarray, ids_HW: np.ndarray, alpha: float = 0.5, colours: np.ndarray | None = None
) -> np.ndarray:
    """Return the uint8 picture [H,W,3] with its objects tinted (by `alpha`, 0..1) and outlined, a colour for each id.

    `colours` [N,3] uint8 are those of the ids 0 to N - 1; without them, ids take bright ones in turn.

    Raises:
        ValueError: when picture and mask differ in size.
    """
    if rgb_HW3.shape[:2] != ids_HW.shape:
        raise ValueError(f"picture {rgb_HW3.shape[:2]} and mask {ids_HW.shape} differ in size.")
    if colours is None:
        painted = np.array(_OVERLAY_COLOURS, dtype=np.float32)[(ids_HW.astype(np.int64) - 1) % len(_OVERLAY_COLOURS)]
    else:
        painted = colours[ids_HW].astype(np.float32)
    ids = np.ascontiguousarray(ids_HW, dtype=np.uint16)
    inside = ids > 0
    width = 1 + 2 * round(max(1.0, min(ids.shape) / 480))
    outline = inside & (cv2.erode(ids, np.ones((width, width), np.uint8)) != cv2.dilate(ids, np.ones((3, 3), np.uint8)))
    weight = np.where(outline, min(1.0, alpha + 0.45), np.where(inside, alpha, 0.0)).astype(np.float32)[..., None]
    return (rgb_HW3 * (1 - weight) + painted * weight + 0.5).astype(np.uint8)


@cache
def _say_once_that_ids_need_16_bits() -> None:
    logger.warning("ids above 255 do not fit a palette: such masks are written as 16-bit grey PNGs.")


def _read_pixels(path: Path) -> tuple[str, str, np.ndarray]:
    """Return PIL's mode and format, and the pixels as stored."""
    if not path.is_file():
        raise FileNotFoundError(f"mask {path} does not exist.")
    try:
        with open_picture(path) as image:
            return image.mode, image.format or "", np.array(image)
    except TooLargeError as error:
        raise ValueError(f"mask {error}") from None
    except UnidentifiedImageError as error:
        raise ValueError(f"mask {path} is not an image file. Expected a PNG with a palette or grey ids.") from error
    except (OSError, SyntaxError, ValueError) as error:  # PIL raises each of them for damaged files
        raise ValueError(f"mask {path} is truncated or damaged ({error}). Save or download it again.") from error


def _refuse_soft_edges(path: Path, ids: np.ndarray) -> None:
    """Raise for values that blending made along edges.

    Such values have next to no area (uniform 3x3 blocks) and lie between a smaller and a larger neighbour. Thin or tiny
    objects have no area either, but are not between two others all along: honest ids pass, with gaps or not.
    """
    counts = count_ids(ids)
    values = np.flatnonzero(counts)
    if len(values) <= _FEW_VALUES:
        return
    block = np.ones((3, 3), np.uint8)
    smallest, largest = cv2.erode(ids, block), cv2.dilate(ids, block)
    with_area = np.bincount(ids[smallest == largest], minlength=len(counts))[values]
    between = np.bincount(ids[(smallest < ids) & (ids < largest)], minlength=len(counts))[values]
    soft = (with_area <= 0.02 * counts[values]) & (between > 0.5 * counts[values])
    if soft.sum() >= 3 and soft.sum() >= 0.5 * (len(values) - 1):
        examples = ", ".join(str(value) for value in values[soft][:5])
        raise ValueError(
            f"mask {path} is anti-aliased: {soft.sum()} of its {len(values)} grey values ({examples}, ...) occur only "
            "as soft edges. Expected object ids; make the mask again without smoothing (resize with nearest "
            "neighbour), or threshold it."
        )
