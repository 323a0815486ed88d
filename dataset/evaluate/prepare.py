"""From a picture and its ids to what a network takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from util.files.palette import object_ids
from util.image import IMAGENET_MEAN, IMAGENET_STD

_USUAL_SIZE = 480  # shorter side in pixels at which benchmarks are run


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """How a network wants its pictures resized.

    Attributes:
        bicubic: always with bicubic interpolation; else shrinking averages areas.
        native_below: a larger video is not resized at all if it has an object of fewer pixels than this at a shorter
            side of 480, for another size in proportion to the area, on the first mask that shows it.
    """

    bicubic: bool = False
    native_below: int = 0

    def is_too_small(self, pixels: int, size: int) -> bool:
        """Tell whether an object of `pixels` after resizing to a shorter side of `size` keeps its video's own size."""
        return pixels * _USUAL_SIZE**2 < self.native_below * size**2


@dataclass(frozen=True, kw_only=True)
class SizedFrame:
    """A frame at one of the sizes at which a network works.

    Attributes:
        picture: [h,w,3] uint8 RGB, resized.
        mask: [h,w] int64 object ids that are given at this frame, resized with nearest neighbour; or None.
    """

    picture: np.ndarray
    mask: Tensor | None

    @cached_property
    def image(self) -> Tensor:
        """The picture as [3,h,w] float32, ImageNet-normalised."""
        return normalise(self.picture)


@dataclass(frozen=True, kw_only=True)
class VideoFrame:
    """One frame, prepared for a network.

    Attributes:
        name: the file name without suffix, or the number of a video file's frame.
        at_size: picture and given mask at each of the sizes asked for, in that order.
        given: [H,W] ids, the mask as it was given; or None.
        object_ids: the ids that it gives; everything else in the frame keeps its prediction. None without a mask.
        rgb: [H,W,3] uint8, the original picture.
        wanted: whether the benchmark asks for this frame's result.
        last: whether it is the last frame.
    """

    name: str
    at_size: Mapping[int, SizedFrame]
    given: np.ndarray | None
    object_ids: list[int] | None
    rgb: np.ndarray
    wanted: bool
    last: bool

    @property
    def image(self) -> Tensor:
        """The normalised image [3,h,w] at the first of the sizes."""
        return next(iter(self.at_size.values())).image

    @property
    def mask(self) -> Tensor | None:
        """The given mask [h,w] at the first of the sizes."""
        return next(iter(self.at_size.values())).mask


def size_without_enlarging(shape: tuple[int, ...], size: int) -> int:
    """Return `size`, or -1 for a picture of (height, width, ...) whose shorter side has no more pixels than that."""
    return -1 if size != -1 and min(shape[:2]) <= size else size


def prepare_image(rgb_HW3: np.ndarray, size: int, bicubic: bool = False) -> Tensor:
    """Return an RGB picture as [3,h,w] float32, ImageNet-normalised, with a shorter side of `size` (-1: as it is)."""
    return normalise(resize_picture(rgb_HW3, size, bicubic))


def resize_picture(rgb_HW3: np.ndarray, size: int, bicubic: bool = False) -> np.ndarray:
    """Return an RGB picture as [h,w,3] uint8 with a shorter side of `size` (-1: as it is)."""
    height, width = _target(rgb_HW3.shape[:2], size)
    if (height, width) == rgb_HW3.shape[:2]:
        return rgb_HW3
    averaged = height < rgb_HW3.shape[0] and not bicubic
    return cv2.resize(rgb_HW3, (width, height), interpolation=cv2.INTER_AREA if averaged else cv2.INTER_CUBIC)


def normalise(rgb_HW3: np.ndarray) -> Tensor:
    """Return an RGB picture as [3,H,W] float32, ImageNet-normalised."""
    image = np.empty((3, *rgb_HW3.shape[:2]), np.float32)
    for channel, (plane, mean, std) in enumerate(zip(cv2.split(rgb_HW3), IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        np.multiply(plane, np.float32(1 / (255 * std)), out=image[channel])
        image[channel] -= np.float32(mean / std)
    return torch.from_numpy(image)


def prepare_mask(ids_HW: np.ndarray, size: int) -> Tensor:
    """Return ids as [h,w] int64, resized with nearest neighbour; an object too small for the grid keeps one pixel."""
    height, width = _target(ids_HW.shape, size)
    if (height, width) == ids_HW.shape:
        return torch.from_numpy(ids_HW.astype(np.int64))
    resized = cv2.resize(ids_HW, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int64)
    for lost in set(object_ids(ids_HW)) - set(object_ids(resized)):
        ys, xs = np.nonzero(ids_HW == lost)
        resized[ys[len(ys) // 2] * height // ids_HW.shape[0], xs[len(xs) // 2] * width // ids_HW.shape[1]] = lost
    return torch.from_numpy(resized)


def _target(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """Return the height and width whose shorter side is `size`, the longer one rounded down as torchvision does."""
    height, width = shape
    shorter = min(height, width)
    if size == -1 or size == shorter:
        return height, width
    return (size, int(size * width / height)) if height <= width else (int(size * height / width), size)
