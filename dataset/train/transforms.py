"""Augmentation: parameters drawn once, all geometry in one resampling, all colour in one matrix.

Points are (x, y) with pixel centres at integers. Matrices take homogeneous points of the original picture to the crop,
which is square.
"""

import math
from typing import NamedTuple

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


class FrameTransform(NamedTuple):
    """All that happens to one frame.

    Attributes:
        matrix: [3,3] float64, original picture to crop.
        field: [h,w,2] float32, where a spline takes each pixel of the crop to in the crop before it; or None.
        jitters: colour changes in order.
        grey: whether the frame turns grey.
        size: side of the crop.
    """

    matrix: np.ndarray
    field: np.ndarray | None
    jitters: tuple[np.ndarray, ...]
    grey: bool
    size: int


def draw_transforms(
    rng: np.random.Generator, config: Augmentation, size: tuple[int, int], frames: int, static: bool
) -> list[FrameTransform]:
    """Draw what happens to each frame of a clip.

    Args:
        rng: source of randomness.
        config: ranges and probabilities.
        size: height and width of the pictures.
        frames: length of the clip.
        static: the frames are one static picture. Instead of one random resized crop per clip, the picture is zoomed,
            and every frame takes its own square window, as wide as the shorter side.
    """
    flipped, grey = bool(rng.random() < config.flip), bool(rng.random() < config.grey)
    height, width = size
    if static:
        base = about(scaling(rng.uniform(*config.zoom)), (width - 1) / 2, (height - 1) / 2)
    else:
        base = random_resized_crop(rng, height, width, config.crop_scale, config.crop_ratio, config.crop_size)
    if flipped:
        # Mirroring the picture first is the same as mirroring the crop: windows are drawn symmetrically.
        base = base @ flip(width)
    # Drawn only where a run asks for it, so that the clips of others stay what they are.
    if config.vertical_flip and rng.random() < config.vertical_flip:
        base = base @ vertical_flip(height)
    clip_jitter = draw_jitter(rng, config.clip_jitter)
    transforms = []
    for _ in range(frames):
        matrix = _draw_frame_matrix(rng, config, size, static) @ base
        jitters = (clip_jitter, draw_jitter(rng, config.frame_jitter))
        field = _draw_spline(rng, config) if rng.random() < config.spline else None
        transforms.append(FrameTransform(matrix, field, jitters, grey, config.crop_size))
    return transforms


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
    """Apply all colour changes to [H,W,3] uint8 RGB with one matrix: every one of them is linear in the colours.

    Values are clipped once at the end. Contrast turns about the mean luma of the picture as it is at that point.
    """
    mean = np.array(cv2.mean(image)[:3])
    matrix = np.eye(3, 4)
    for brightness, contrast, saturation, hue in transform.jitters:
        matrix = _linear(brightness * np.eye(3)) @ _square(matrix)
        luma = float(_GREY @ (matrix[:, :3] @ mean + matrix[:, 3]))
        matrix = _linear(contrast * np.eye(3), (1 - contrast) * luma) @ _square(matrix)
        matrix = _linear(saturation * np.eye(3) + (1 - saturation) * np.tile(_GREY, (3, 1))) @ _square(matrix)
        if hue:
            matrix = _linear(_hue_matrix(hue)) @ _square(matrix)
    if transform.grey:
        matrix = _linear(np.tile(_GREY, (3, 1))) @ _square(matrix)
    return cv2.transform(image, matrix)


def draw_jitter(rng: np.random.Generator, jitter: tuple[float, float, float, float]) -> np.ndarray:
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


def _draw_frame_matrix(
    rng: np.random.Generator, config: Augmentation, size: tuple[int, int], static: bool
) -> np.ndarray:
    turn, shear = rng.uniform(-1, 1, size=2) * (config.degrees, config.shear)
    linear = rotation_shear(turn, shear, rng.uniform(*config.frame_scale))
    if not static:
        centre = (config.crop_size - 1) / 2
        return about(linear, centre, centre)
    height, width = size
    side = min(size)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return window(left, top, side, side, config.crop_size) @ about(linear, (width - 1) / 2, (height - 1) / 2)


def _hue_matrix(turn: float) -> np.ndarray:
    c, s = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    return _YIQ_TO_RGB @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ _RGB_TO_YIQ


def _linear(colours: np.ndarray, shift: float = 0.0) -> np.ndarray:
    return np.column_stack([colours, np.full(3, shift)])


def _square(matrix: np.ndarray) -> np.ndarray:
    return np.vstack([matrix, [0, 0, 0, 1]])


def _draw_spline(rng: np.random.Generator, config: Augmentation) -> np.ndarray:
    points = rng.uniform(-1, 1, size=(config.spline_points, 2))
    moved = points + rng.normal(0, config.spline_sigma, size=points.shape)
    return spline_field(points, moved, config.crop_size)
