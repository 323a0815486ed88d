"""Videos with the masks of all annotated frames, read in any order: for measuring, not for segmenting."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.disk.frames import FolderFrames, read_rgb
from dataset.disk.masks import StoredMask
from dataset.evaluate.prompts import read_prompt
from dataset.evaluate.protocols import EvaluationSet


class AnnotatedFrame(NamedTuple):
    """A frame as it lies on disk.

    Attributes:
        name: the file's name without suffix.
        rgb_HW3: uint8.
        ids_HW: object ids, uint8 or uint16, 0 is background.
    """

    name: str
    rgb_HW3: np.ndarray
    ids_HW: np.ndarray


@dataclass(frozen=True, kw_only=True)
class AnnotatedVideo:
    """A video whose frames and masks can be read in any order.

    Attributes:
        name: its name in the data set.
        frames: the images in order.
        masks: mask files by the index of their frame, ascending.
        binary: whether everything that is not zero is one object, id 1.
    """

    name: str
    frames: tuple[Path, ...]
    masks: Mapping[int, Path | StoredMask]
    binary: bool = False

    def read(self, index: int) -> AnnotatedFrame:
        """Read the frame at `index`, one of those in `masks`.

        Raises:
            FileNotFoundError, ValueError: for a missing or damaged file, or a mask of another size than its frame.
        """
        rgb, (ids, _) = read_rgb(self.frames[index]), read_prompt(self.masks[index])
        if ids.shape != rgb.shape[:2]:
            raise ValueError(
                f"mask {self.masks[index]} has {ids.shape[1]}x{ids.shape[0]} pixels, its frame {self.frames[index]} "
                f"{rgb.shape[1]}x{rgb.shape[0]}. Resize the mask to the frame's size with nearest neighbour."
            )
        return AnnotatedFrame(self.frames[index].stem, rgb, (ids != 0).astype(np.uint8) if self.binary else ids)


def open_annotated(evaluation: EvaluationSet) -> list[AnnotatedVideo]:
    """Open the videos of a benchmark's split with its ground truth, in the order of its list.

    Raises:
        FileNotFoundError: when the frames or masks of a video are missing.
        ValueError: when the split has no complete ground truth, or a video has no frames, no masks, or a mask whose
            name is that of no frame.
    """
    if not evaluation.scored:
        raise ValueError(
            f"{evaluation.name} has no complete ground truth: choose d16, d17, sample, or one's own videos in "
            "DAVIS-2017's layout as d17 with their root."
        )
    videos = []
    for name in evaluation.videos:
        found = evaluation.files(name)
        source = FolderFrames(found.frames, found.images)
        masks = found.masks(source, False)
        at = {frame: index for index, frame in enumerate(source.names)}
        videos.append(
            AnnotatedVideo(
                name=name,
                frames=source.files,
                masks={at[frame]: file for frame, file in masks.items()},
                binary=evaluation.binary,
            )
        )
    return videos
