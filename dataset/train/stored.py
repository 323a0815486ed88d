"""Videos to train on as they lie on disk: frames and masks, read one at a time."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dataset.disk.frames import list_images, read_reduced
from util.files.palette import read_mask


class ClipVideo(Protocol):
    """A video of which clips are made."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def images(self) -> Path:
        """The folder of its frames, or the film."""

    @property
    def frames(self) -> Sequence[str]:
        """Names of the frames that have a mask, in order."""

    def read_frame(self, index: int, reduction: int) -> np.ndarray:
        """Read a frame as [h,w,3] uint8 RGB; arguments and errors as `dataset.disk.frames.read_reduced`."""

    def mask_place(self, index: int) -> str:
        """Return where a frame's mask is, for messages."""

    def read_mask(self, index: int) -> np.ndarray:
        """Read a frame's ids [H,W]; raises as `util.files.palette.read_mask`."""


@dataclass(frozen=True, kw_only=True)
class TrainingVideo:
    """A video with a mask for every frame. It keeps names, not paths: BL30K has ten million files.

    Attributes:
        name: the folder's name.
        images: the folder of its pictures.
        annotations: the folder of its masks.
        frames: file names of the pictures in order.
        masks: file names of their masks.
    """

    name: str
    images: Path
    annotations: Path
    frames: tuple[str, ...]
    masks: tuple[str, ...]

    def read_frame(self, index: int, reduction: int) -> np.ndarray:
        """Read a frame as [h,w,3] uint8 RGB; arguments and errors as `dataset.disk.frames.read_reduced`."""
        return read_reduced(self.images / self.frames[index], reduction)

    def mask_place(self, index: int) -> str:
        """Return where a frame's mask is, for messages."""
        return str(self.annotations / self.masks[index])

    def read_mask(self, index: int) -> np.ndarray:
        """Read a frame's ids [H,W]; raises as `util.files.palette.read_mask`."""
        return read_mask(self.annotations / self.masks[index])


def open_training_video(images: Path, annotations: Path, partly: bool = False) -> TrainingVideo:
    """Open a video; frames without a mask are left out if it is `partly` annotated.

    Raises FileNotFoundError for a folder that is missing, or else a mask.
    """
    frames, masks = list_images(images), list_images(annotations)
    if partly:
        frames = {frame: path for frame, path in frames.items() if frame in masks}
    for frame, path in frames.items():
        if frame not in masks:
            raise FileNotFoundError(
                f"frame {path} has no mask: expected {annotations / frame}.png. Training needs a mask for every frame; "
                "add it or remove the frame."
            )
    return TrainingVideo(
        name=images.name,
        images=images,
        annotations=annotations,
        # Most videos' files have the same names: each is kept once.
        frames=tuple(sys.intern(file.name) for file in frames.values()),
        masks=tuple(sys.intern(masks[frame].name) for frame in frames),
    )
