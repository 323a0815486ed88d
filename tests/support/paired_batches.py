"""Small batches for the tests of the correspondence losses."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.losses.correspondence import object_loss, pixel_loss
from model.losses.draws import draw_compared
from model.network import ClipKeys
from util.comparison import Comparison

NEGATIVES: Any = ["intra", "inter", "both"]


class Batch(NamedTuple):
    """Keys of clips, what of them is compared, and what was drawn."""

    key: Tensor
    view: Tensor | None
    compared: Comparison
    positions: Tensor
    queries: Tensor

    def pcl(self, negatives: Any = "both", gather: bool = False) -> Tensor:
        return pixel_loss(ClipKeys(self.key, view_key=self.view), self.compared, self.positions, negatives, gather)

    def ocl(self, gather: bool = False, own: bool = False) -> Tensor:
        return object_loss(self.key, self.compared, self.queries, own, gather)

    def leaves(self) -> list[Tensor]:
        assert self.view is not None
        return [self.key, self.view]


def compare(
    pair: Any, anchor: Any, boxes: Tensor | None = None, ids: Any = None, seeds: list[int] | None = None
) -> Comparison:
    """Return a comparison of clips whose views show their crops as they are."""
    clips = len(pair)
    return Comparison(
        seeds=tuple(seeds or range(clips)),
        pair_B=torch.as_tensor(pair),
        anchor_B=torch.as_tensor(anchor),
        view_matrices_BV33=torch.eye(3).expand(clips, 1, 3, 3),
        boxes_B2N4=torch.zeros(clips, 2, 0, 4) if boxes is None else boxes,
        box_ids_B2N=torch.zeros(clips, 2, 0, dtype=torch.int64) if ids is None else torch.as_tensor(ids),
    )


def batch_of(
    key: Tensor,
    positions: list[list[int]],
    boxes: Tensor | None = None,
    ids: Any = None,
    queries: Any = None,
    view: Tensor | None = None,
) -> Batch:
    """Clips (t, t + 1, anchor) that all draw the same positions in each set of anchors."""
    clips = len(key)
    return Batch(
        key=key,
        view=view,
        compared=compare([0] * clips, [2] * clips, boxes, ids),
        positions=torch.tensor(positions).expand(clips, -1, -1),
        queries=torch.full((clips, 3), -1) if queries is None else torch.tensor(queries),
    )


def drawn_batch(seeds: list[int]) -> Batch:
    """Clips of 4 frames of 9 x 9 positions, views of 8 x 8, 12 boxes; each clip depends on its seed alone."""
    keys, views, boxes, ids = [], [], [], []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed)
        keys.append(torch.randn(4, 8, 9, 9, generator=g))
        views.append(torch.randn(1, 8, 8, 8, generator=g))
        low = 70 * torch.rand(2, 12, 2, generator=g)
        boxes.append(torch.cat([low, low + 10 + 60 * torch.rand(2, 12, 2, generator=g)], dim=2))
        id_2N = torch.zeros(2, 12, dtype=torch.int64)
        id_2N[0, seed % 12], id_2N[1, 5] = 1, 1
        ids.append(id_2N)
    pair, anchor = [seed % 3 for seed in seeds], [[3, 0, 0][seed % 3] for seed in seeds]
    compared = compare(pair, anchor, torch.stack(boxes), torch.stack(ids), seeds)
    drawn = draw_compared(compared, (9, 9), (8, 8))
    return Batch(torch.stack(keys).requires_grad_(), torch.stack(views).requires_grad_(), compared, *drawn)


def maps(*frames: list[float]) -> Tensor:
    """A clip [T,1,2,2] of key maps with one channel, so that sim(a, b) = -(a - b)^2."""
    return torch.tensor(frames).view(-1, 1, 2, 2)


def one_clip() -> Batch:
    # Anchors: positions 0 and 3 of the anchor frame, 0 and 1. Labels of frame t: 0, 1, 0, 1.
    key = maps([0.2, 0.9, -1, 3], [0, 1, 0.5, 0], [0, 9, 9, 1])[None].requires_grad_()
    return batch_of(key, [[0, 3]])


def distance(a_K: Tensor, b_NK: Tensor) -> Tensor:
    """Similarity as it is defined, in float64."""
    return (-(a_K.double() - b_NK.double()).square().sum(dim=1) / math.sqrt(len(a_K))).float()
