"""What the correspondence losses compare: made by `dataset`, used by `model`, which don't know each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from util.device import upload


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the correspondence losses compare in a batch of clips; that of one clip is a batch of one.

    Attributes:
        seeds: a seed for each clip, of the positions and boxes that the losses draw.
        pair_B: int64, index in the clip of frame t. Frame t + 1 follows it in the clip and in the video (or comes
            before it, where time runs backwards), and shares its geometry, so that equal positions correspond.
        anchor_B: int64, index in the clip of the anchor frame, another one.
        view_matrices_BV33: float32, take (x, y, 1) in a frame's crop to its view, pixel centres at integers. Of
            frame t (V = 1), of all frames of the clip (V = T) for the released variant, or of none.
        boxes_B2N4: float32, boxes of frame t and of the anchor frame: left, top, right, bottom edges in the crop, in
            pixels, 0 <= left < right <= S; zeros pad.
        box_ids_B2N: int64, the object of each box (1, 2, ...), 0 for a proposal, -1 for padding.
    """

    seeds: tuple[int, ...]
    pair_B: Tensor
    anchor_B: Tensor
    view_matrices_BV33: Tensor
    boxes_B2N4: Tensor
    box_ids_B2N: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same with each tensor changed."""
        changed: dict[str, Any] = {name: change(x) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **changed)

    def to(self, device: torch.device) -> Self:
        """Return the same on a device, without waiting for a GPU."""
        return self.map(lambda x: upload(x, device))

    def pad_boxes(self, count: int) -> Self:
        """Return the same with boxes padded to `count`."""
        more = count - self.box_ids_B2N.shape[2]
        return replace(
            self,
            boxes_B2N4=F.pad(self.boxes_B2N4, (0, 0, 0, more)),
            box_ids_B2N=F.pad(self.box_ids_B2N, (0, more), value=-1),
        )


def join_comparisons(parts: Sequence[Comparison]) -> Comparison:
    """Join batches, at least one, padded to the largest number of boxes."""
    most = max(part.box_ids_B2N.shape[2] for part in parts)
    padded = [part.pad_boxes(most) for part in parts]
    names = [name for name, x in vars(padded[0]).items() if isinstance(x, Tensor)]
    tensors = {name: torch.cat([getattr(part, name) for part in padded]) for name in names}
    return Comparison(seeds=tuple(seed for part in padded for seed in part.seeds), **tensors)
