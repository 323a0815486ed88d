"""Small batches for the tests of the released correspondence loss."""

from typing import NamedTuple

import torch
from torch import Tensor

from model.losses.released import draw_released, released_losses, view_sources


class ReleasedBatch(NamedTuple):
    """Keys of clips and of their views, and what was drawn."""

    key: Tensor
    view: Tensor
    anchors_BA: Tensor
    points_BR: Tensor
    sources_BTP: Tensor

    def losses(self, gather: bool = False) -> dict[str, Tensor]:
        return released_losses(*self, gather=gather)

    def leaves(self) -> list[Tensor]:
        return [self.key, self.view]


def window_matrix(left: float, top: float, scale: float, side: float, flipped: bool = False) -> Tensor:
    """Frame to view: the square window from edge (left, top) is enlarged by `scale`, perhaps mirrored; in pixels."""
    centres, edges = torch.eye(3), torch.eye(3)
    centres[:2, 2], edges[:2, 2] = -0.5, 0.5
    matrix = torch.tensor([[scale, 0, -scale * left], [0, scale, -scale * top], [0, 0, 1.0]])
    mirror = torch.tensor([[-1.0, 0, side], [0, 1, 0], [0, 0, 1]])
    return centres @ (mirror @ matrix if flipped else matrix) @ edges


def drawn_batch(seeds: list[int]) -> ReleasedBatch:
    """Clips of 3 frames of 8 x 8 positions, views of 6 x 6 that show the window from (32, 16), 64 pixels, mirrored."""
    keys = [torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    views = [torch.randn(3, 8, 6, 6, generator=torch.Generator().manual_seed(seed + 100)) for seed in seeds]
    matrices = window_matrix(32, 16, 1.5, 96, flipped=True).expand(len(seeds), 3, 3, 3)
    return ReleasedBatch(
        torch.stack(keys).requires_grad_(),
        torch.stack(views).requires_grad_(),
        *draw_released(seeds, (8, 8), (6, 6)),
        view_sources(matrices, (8, 8), (6, 6)),
    )
