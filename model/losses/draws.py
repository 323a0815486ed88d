"""What the correspondence losses draw for a batch, from each clip's own seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

# Published: anchors on a grid of 8 x 8; three query objects, at most one from each cell of 32 pixels.
ANCHOR_CELLS = 8
QUERIES = 3
BOX_CELL = 32


class PairPlan(NamedTuple):
    """What the correspondence losses compare.

    Attributes:
        pair_B: frame t of each clip; t + 1 follows it.
        anchor_B: anchor frame of each clip.
        positions_BSA: drawn positions `y * X + x` in the key map of the anchor frame (S = 0) and of the view (S = 1).
        boxes_B2N4: boxes of frame t and of the anchor frame: left, top, right, bottom edges in pixels of the crop.
        box_ids_B2N: the object of each box, 0 for a proposal, -1 for padding.
        queries_BQ: the drawn boxes of frame t, -1 where there are fewer than Q.
    """

    pair_B: Tensor
    anchor_B: Tensor
    positions_BSA: Tensor
    boxes_B2N4: Tensor
    box_ids_B2N: Tensor
    queries_BQ: Tensor

    def to(self, device: torch.device) -> Self:
        """Return the plan on a device; copies from pinned memory don't wait."""
        return type(self)(*[x.to(device, non_blocking=True) for x in self])


def draw_pair_plan(
    seeds: Sequence[int],
    pair_B: Tensor,
    anchor_B: Tensor,
    boxes_B2N4: Tensor,
    box_ids_B2N: Tensor,
    grid: tuple[int, int],
    view_grid: tuple[int, int] | None = None,
) -> PairPlan:
    """Draw anchor positions and query boxes of every clip from its own seed, so that its batch does not matter.

    Anchors: one position in each of 8 x 8 cells of the map, or in as many cells as the smallest side has positions.
    Queries: up to three cells of 32 pixels that hold centres of boxes of frame t, and one box in each. Boxes that can
    have no partner are not drawn: annotated ones whose object has no box in the anchor frame, and proposals where the
    anchor frame has none.

    Args:
        seeds: one for each clip.
        pair_B: as in `PairPlan`, on the CPU, like the other tensors.
        anchor_B: as in `PairPlan`.
        boxes_B2N4: as in `PairPlan`.
        box_ids_B2N: as in `PairPlan`.
        grid: height and width of the frames' key maps.
        view_grid: height and width of the view's key map; None draws no positions of a view (S = 1).
    """
    grids = [grid] if view_grid is None else [grid, view_grid]
    cells = (
        min(ANCHOR_CELLS, *(size[0] for size in grids)),
        min(ANCHOR_CELLS, *(size[1] for size in grids)),
    )
    boxes, ids = boxes_B2N4.numpy(), box_ids_B2N.numpy()
    positions = np.empty((len(seeds), len(grids), cells[0] * cells[1]), np.int64)
    queries = np.full((len(seeds), QUERIES), -1)
    for clip, seed in enumerate(seeds):
        # The second word keeps these draws apart from those of the clip's own frames.
        rng = np.random.default_rng([seed, 0x70616972])
        for anchors, size in enumerate(grids):
            positions[clip, anchors] = draw_positions(rng, size, cells)
        drawn = _draw_queries(rng, boxes[clip, 0], ids[clip, 0], ids[clip, 1])
        queries[clip, : len(drawn)] = drawn
    return PairPlan(pair_B, anchor_B, torch.from_numpy(positions), boxes_B2N4, box_ids_B2N, torch.from_numpy(queries))


def draw_positions(rng: np.random.Generator, grid: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Draw one position `y * X + x` in each cell of a map [Y,X], cells in reading order; all positions differ.

    Args:
        rng: source of randomness.
        grid: height and width of the map, at least those of `cells`.
        cells: rows and columns of cells.
    """
    rows, columns = (np.arange(n + 1) * size // n for n, size in zip(cells, grid, strict=True))
    share = rng.random((2, *cells))
    y = rows[:-1, None] + (share[0] * np.diff(rows)[:, None]).astype(np.int64)
    x = columns[:-1] + (share[1] * np.diff(columns)).astype(np.int64)
    return (y * grid[1] + x).reshape(-1)


def _draw_queries(
    rng: np.random.Generator, boxes_N4: np.ndarray, ids_N: np.ndarray, anchor_ids_N: np.ndarray
) -> list[int]:
    candidates = np.flatnonzero((ids_N >= 0) & np.isin(ids_N, anchor_ids_N))
    if len(candidates) == 0:
        return []
    centres = (boxes_N4[candidates, :2] + boxes_N4[candidates, 2:]) / 2
    places = (centres // BOX_CELL).astype(np.int64)
    cell_of = places[:, 1] * (places[:, 0].max() + 1) + places[:, 0]
    chosen = rng.permutation(np.unique(cell_of))[:QUERIES]
    return [int(rng.choice(candidates[cell_of == cell])) for cell in chosen]
