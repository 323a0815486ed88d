"""Augmentation: parameters drawn once, all geometry in one resampling, all colour in one matrix.

`GEOMETRIC` and `PHOTOMETRIC` list what happens to a clip, in order: a new augmentation, a matrix or a colour change,
is a function that draws it and a line. Pasting, which needs another clip, comes after them (`dataset.train.paste`).

Points are (x, y) with pixel centres at integers. Matrices take homogeneous points of the original picture to the crop,
which is square.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from dataset.train.geometry import (
    about,
    flip,
    random_resized_crop,
    rotation_shear,
    scaling,
    spline_field,
    vertical_flip,
    window,
)
from util.config.data import Augmentation

# Published fill for what lies outside the picture: ImageNet's mean colour, RGB.
FILL = (124, 116, 104)
_GREY = np.array([0.299, 0.587, 0.114])
# Rows turn RGB to luma and two chroma axes, in which a turn is a change of hue.
_RGB_TO_YIQ = np.array([_GREY, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)

# A photometric change: factors of brightness, contrast, saturation, and the hue's turn; or, for what is not linear in
# the colours, what it makes of a picture [S,S,3] uint8.
Colour = np.ndarray | Callable[[np.ndarray], np.ndarray]


class FrameTransform(NamedTuple):
    """All that happens to one frame.

    Attributes:
        matrix: [3,3] float64, original picture to crop.
        field: [h,w,2] float32, where a spline takes each pixel of the crop to in the crop before it; or None.
        colours: photometric changes by name, in order.
        size: side of the crop.
    """

    matrix: np.ndarray
    field: np.ndarray | None
    colours: Mapping[str, Colour]
    size: int


class Pictures(NamedTuple):
    """The pictures of a clip before augmentation.

    Attributes:
        height: of each.
        width: of each.
        static: they are one static picture. Instead of one random resized crop per clip it is zoomed, and every frame
            takes its own square window, as wide as the shorter side.
    """

    height: int
    width: int
    static: bool


class Change(NamedTuple):
    """An augmentation.

    Attributes:
        name: of it.
        of: drawn once for a "clip", or anew for each "frame".
        draw: draws it; None where it does not happen. What is geometric is a matrix [3,3] that follows those before
            it (a spline: a field), what is photometric a `Colour`.
    """

    name: str
    of: Literal["clip", "frame"]
    draw: Callable[[np.random.Generator, Augmentation, Pictures], Any]


def draw_vertical_flip(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray | None:
    """Draw whether a clip is turned upside down by a mirror; without the setting nothing is drawn."""
    turned = config.vertical_flip and rng.random() < config.vertical_flip
    return vertical_flip(pictures.height) if turned else None


def draw_flip(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray | None:
    """Draw whether a clip is mirrored; the same as mirroring the crop, since windows are drawn symmetrically."""
    return flip(pictures.width) if rng.random() < config.flip else None


def draw_crop(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray:
    """Draw a clip's random resized crop, or a static picture's zoom about its centre."""
    height, width, static = pictures
    if static:
        return about(scaling(rng.uniform(*config.zoom)), (width - 1) / 2, (height - 1) / 2)
    return random_resized_crop(rng, height, width, config.crop_scale, config.crop_ratio, config.crop_size)


def draw_affine(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray:
    """Draw a frame's rotation, shear and scale, and in a static picture its window."""
    turn, shear = rng.uniform(-1, 1, size=2) * (config.degrees, config.shear)
    linear = rotation_shear(turn, shear, rng.uniform(*config.frame_scale))
    height, width, static = pictures
    if not static:
        centre = (config.crop_size - 1) / 2
        return about(linear, centre, centre)
    side = min(height, width)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return window(left, top, side, side, config.crop_size) @ about(linear, (width - 1) / 2, (height - 1) / 2)


def draw_spline(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray | None:
    """Draw whether a frame is bent by a thin-plate spline, and its field."""
    if not rng.random() < config.spline:
        return None
    points = rng.uniform(-1, 1, size=(config.spline_points, 2))
    moved = points + rng.normal(0, config.spline_sigma, size=points.shape)
    return spline_field(points, moved, config.crop_size)


def draw_clip_jitter(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray:
    """Draw the colour change of a clip."""
    return _draw_jitter(rng, config.clip_jitter)


def draw_frame_jitter(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray:
    """Draw the colour change of a frame."""
    return _draw_jitter(rng, config.frame_jitter)


def draw_grey(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> np.ndarray | None:
    """Draw whether a clip turns grey: its saturation falls to nothing."""
    return np.array([1.0, 1, 0, 0]) if rng.random() < config.grey else None


# All matrices become one, so that a picture is resampled once; the spline, which is none, comes last.
GEOMETRIC: tuple[Change, ...] = (
    Change("vertical_flip", "clip", draw_vertical_flip),
    Change("flip", "clip", draw_flip),
    Change("crop", "clip", draw_crop),
    Change("affine", "frame", draw_affine),
    Change("spline", "frame", draw_spline),
)
PHOTOMETRIC: tuple[Change, ...] = (
    Change("clip_jitter", "clip", draw_clip_jitter),
    Change("frame_jitter", "frame", draw_frame_jitter),
    Change("grey", "clip", draw_grey),
)
# The random numbers are drawn in the order in which the augmentations came into being, those of the clip first: so
# clips stay what they are. One that is not named here draws after these.
_DRAWN = ("flip", "grey", "crop", "vertical_flip", "clip_jitter", "affine", "frame_jitter", "spline")


def draw_transforms(
    rng: np.random.Generator, config: Augmentation, size: tuple[int, int], frames: int, static: bool
) -> list[FrameTransform]:
    """Draw what happens to each frame of a clip.

    Args:
        rng: source of randomness.
        config: ranges and probabilities.
        size: height and width of the pictures.
        frames: length of the clip.
        static: the frames are one static picture, see `Pictures`.
    """
    pictures = Pictures(*size, static)
    places = {name: place for place, name in enumerate(_DRAWN)}
    changes = sorted((*GEOMETRIC, *PHOTOMETRIC), key=lambda change: places.get(change.name, len(places)))

    def draw(of: str) -> dict[str, Any]:
        return {change.name: change.draw(rng, config, pictures) for change in changes if change.of == of}

    of_clip = draw("clip")
    return [_compose(of_clip | draw("frame"), config.crop_size) for _ in range(frames)]


def _compose(drawn: Mapping[str, Any], size: int) -> FrameTransform:
    """Put what was drawn for a frame in the order of the lists."""
    matrix, field = np.eye(3), drawn["spline"]
    for change in GEOMETRIC:
        if change.name != "spline" and drawn[change.name] is not None:
            matrix = drawn[change.name] @ matrix
    colours = {change.name: drawn[change.name] for change in PHOTOMETRIC if drawn[change.name] is not None}
    return FrameTransform(matrix, field, colours, size)


def warp_image(image: np.ndarray, transform: FrameTransform, reduction: int = 1) -> np.ndarray:
    """Resample a picture [H,W,3] uint8 into the crop [S,S,3] (bilinear); `FILL` outside.

    `reduction` says that the picture was decoded at that fraction of its size; see `decode_reduction`.
    """
    # Pixel i of the reduced picture covers the pixels from r*i to r*i + r - 1 of the original.
    offset = (reduction - 1) / 2
    restore = np.array([[reduction, 0, offset], [0, reduction, offset], [0, 0, 1]], dtype=np.float64)
    return _resample(image, transform.matrix @ restore, transform, cv2.INTER_LINEAR, FILL)


def warp_mask(mask: np.ndarray, transform: FrameTransform) -> np.ndarray:
    """Resample ids [H,W] uint8 or uint16 into the crop (nearest neighbour); 0 outside."""
    return _resample(mask, transform.matrix, transform, cv2.INTER_NEAREST, (0,))


def decode_reduction(transform: FrameTransform) -> int:
    """Return the power of two, up to 8, by which a picture may be decoded smaller; the crop then never enlarges it.

    Bilinear resampling then shrinks by less than 2 and skips no pixel, so it needs no blur before.
    """
    scale = math.sqrt(abs(np.linalg.det(transform.matrix[:2, :2])))
    # A hair's breadth of rounding must not make an exact half a quarter too large.
    return 2 ** min(max(int(math.floor(math.log2(1 / scale) + 1e-6)), 0), 3)


def apply_colour(image: np.ndarray, transform: FrameTransform) -> np.ndarray:
    """Apply all photometric changes to [H,W,3] uint8 RGB; those that are linear in the colours, with one matrix.

    Values are clipped once at the end. Contrast turns about the mean luma of the picture as it is at that point.
    """
    linear: list[np.ndarray] = []
    for change in transform.colours.values():
        if callable(change):
            image, linear = change(_apply_jitters(image, linear)), []
        else:
            linear.append(change)
    return _apply_jitters(image, linear)


def _apply_jitters(image: np.ndarray, jitters: Sequence[np.ndarray]) -> np.ndarray:
    if not jitters:
        return image
    mean = np.array(cv2.mean(image)[:3])
    matrix = np.eye(3, 4)
    for brightness, contrast, saturation, hue in jitters:
        matrix = _linear(brightness * np.eye(3)) @ _square(matrix)
        luma = float(_GREY @ (matrix[:, :3] @ mean + matrix[:, 3]))
        matrix = _linear(contrast * np.eye(3), (1 - contrast) * luma) @ _square(matrix)
        matrix = _linear(saturation * np.eye(3) + (1 - saturation) * np.tile(_GREY, (3, 1))) @ _square(matrix)
        if hue:
            matrix = _linear(_hue_matrix(hue)) @ _square(matrix)
    return cv2.transform(image, matrix)


def _draw_jitter(rng: np.random.Generator, jitter: tuple[float, float, float, float]) -> np.ndarray:
    """Draw factors of brightness, contrast, saturation, and the hue's turn."""
    return rng.uniform(-1, 1, size=4) * jitter + np.array([1, 1, 1, 0])


def _resample(
    image: np.ndarray, matrix: np.ndarray, transform: FrameTransform, interpolation: int, fill: tuple[int, ...]
) -> np.ndarray:
    size, border = (transform.size, transform.size), cv2.BORDER_CONSTANT
    if transform.field is None:
        return cv2.warpAffine(image, matrix[:2], size, flags=interpolation, borderMode=border, borderValue=fill)
    inverse = np.linalg.inv(matrix)[:2]
    source = cv2.transform(transform.field, inverse)
    # Both coordinates are in `source`; OpenCV's type stubs do not know that the second map may be None.
    return cv2.remap(image, source, None, interpolation, borderMode=border, borderValue=fill)  # type: ignore[call-overload]


def _hue_matrix(turn: float) -> np.ndarray:
    c, s = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    return _YIQ_TO_RGB @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ _RGB_TO_YIQ


def _linear(colours: np.ndarray, shift: float = 0.0) -> np.ndarray:
    return np.column_stack([colours, np.full(3, shift)])


def _square(matrix: np.ndarray) -> np.ndarray:
    return np.vstack([matrix, [0, 0, 0, 1]])
