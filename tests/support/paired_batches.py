"""Small batches for the tests of the correspondence losses."""

import math
from typing import Any

import torch
from torch import Tensor

from model.losses.correspondence import PairPlan, draw_pair_plan
from model.losses.released import ReleasedPlan, draw_released_plan

NEGATIVES: Any = ["intra", "inter", "both"]


def plan_of(
    clips: int, positions: list[list[int]], boxes: Tensor | None = None, ids: Any = None, queries: Any = None
) -> PairPlan:
    """Plan for clips (t, t + 1, anchor) that all draw the same positions in each set of anchors."""
    return PairPlan(
        pair_B=torch.zeros(clips, dtype=torch.int64),
        anchor_B=torch.full((clips,), 2),
        positions_BSA=torch.tensor(positions).expand(clips, -1, -1),
        boxes_B2N4=torch.zeros(clips, 2, 0, 4) if boxes is None else boxes,
        box_ids_B2N=torch.zeros(clips, 2, 0, dtype=torch.int64) if ids is None else torch.tensor(ids),
        queries_BQ=torch.full((clips, 3), -1) if queries is None else torch.tensor(queries),
    )


def drawn_batch(seeds: list[int]) -> tuple[Tensor, Tensor, PairPlan]:
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
    pair, anchor = torch.tensor([seed % 3 for seed in seeds]), torch.tensor([[3, 0, 0][seed % 3] for seed in seeds])
    plan = draw_pair_plan(seeds, pair, anchor, torch.stack(boxes), torch.stack(ids), (9, 9), (8, 8))
    return torch.stack(keys).requires_grad_(), torch.stack(views).requires_grad_(), plan


def maps(*frames: list[float]) -> Tensor:
    """A clip [T,1,2,2] of key maps with one channel, so that sim(a, b) = -(a - b)^2."""
    return torch.tensor(frames).view(-1, 1, 2, 2)


def one_clip() -> tuple[Tensor, PairPlan]:
    # Anchors: positions 0 and 3 of the anchor frame, 0 and 1. Labels of frame t: 0, 1, 0, 1.
    return maps([0.2, 0.9, -1, 3], [0, 1, 0.5, 0], [0, 9, 9, 1])[None].requires_grad_(), plan_of(1, [[0, 3]])


def distance(a_K: Tensor, b_NK: Tensor) -> Tensor:
    """Similarity as it is defined, in float64."""
    return (-(a_K.double() - b_NK.double()).square().sum(dim=1) / math.sqrt(len(a_K))).float()


def window_matrix(left: float, top: float, scale: float, side: float, flipped: bool = False) -> Tensor:
    """Frame to view: the square window from edge (left, top) is enlarged by `scale`, perhaps mirrored; in pixels."""
    centres, edges = torch.eye(3), torch.eye(3)
    centres[:2, 2], edges[:2, 2] = -0.5, 0.5
    matrix = torch.tensor([[scale, 0, -scale * left], [0, scale, -scale * top], [0, 0, 1.0]])
    mirror = torch.tensor([[-1.0, 0, side], [0, 1, 0], [0, 0, 1]])
    return centres @ (mirror @ matrix if flipped else matrix) @ edges


def released_batch(seeds: list[int]) -> tuple[Tensor, Tensor, ReleasedPlan]:
    """Clips of 3 frames of 8 x 8 positions, views of 6 x 6 that show the window from (32, 16), 64 pixels, mirrored."""
    keys = [torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    views = [torch.randn(3, 8, 6, 6, generator=torch.Generator().manual_seed(seed + 100)) for seed in seeds]
    matrices = window_matrix(32, 16, 1.5, 96, flipped=True).expand(len(seeds), 3, 3, 3)
    plan = draw_released_plan(seeds, matrices, (8, 8), (6, 6))
    return torch.stack(keys).requires_grad_(), torch.stack(views).requires_grad_(), plan
