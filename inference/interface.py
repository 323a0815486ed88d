"""What every segmenter is, whatever its network."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dataset.evaluate.prepare import Resizing
from inference.config import InferenceConfig
from inference.snapshot import Snapshot


class VOSSegmenter(Protocol):
    """Segments one video, frame by frame; `inference.segmenter.build_segmenter` makes one, `reset` starts a new video.

    Attributes:
        config: its settings.
        device: where it computes, and where probabilities come back.
        resizing: how a video's frames are best made smaller for it.
    """

    config: InferenceConfig
    device: torch.device
    resizing: Resizing

    @property
    def object_ids(self) -> list[int]:
        """Ids of the objects, in the order of `prob[1:]`."""
        ...

    @property
    def memory_sizes(self) -> list[tuple[int, int]]:
        """Working and long-term elements that each group of objects is matched with, oldest group first."""
        ...

    def reset(self) -> None:
        """Forget everything, for the next video."""
        ...

    def step(
        self, image: Tensor, mask: Tensor | None = None, object_ids: list[int] | None = None, last: bool = False
    ) -> Tensor:
        """Segment the next frame: image [3,H,W], mask [H,W] of ids -> probabilities [L,H,W], background first."""
        ...

    def remove_objects(self, ids: list[int]) -> None:
        """Forget objects; raises ValueError for an id that is not there."""
        ...

    def to_id_mask(self, prob: Tensor) -> np.ndarray:
        """Turn probabilities [L,H,W] of any size into the user's ids: [H,W] uint8, or uint16 if an id exceeds 255."""
        ...

    def snapshot(self, device: torch.device | str | None = None) -> Snapshot:
        """Return a copy of all that the segmenter remembers, on `device` or where it is."""
        ...

    def restore(self, state: Snapshot) -> None:
        """Go on where a snapshot was taken; raises ValueError for one of another network."""
        ...
