"""What the correspondence losses draw for a batch, from each clip's own seed."""

import numpy as np
import torch
from torch import Tensor

from util.comparison import Comparison
from util.seeds import clip_rng

# Published: anchors on a grid of 8 x 8; three query objects, at most one from each cell of 32 pixels.
ANCHOR_CELLS = 8
QUERIES = 3
BOX_CELL = 32


def draw_compared(
    compared: Comparison,
    grid: tuple[int, int],
    view_grid: tuple[int, int] | None = None,
    anchor_cells: int = ANCHOR_CELLS,
    annotated_first: bool = False,
) -> tuple[Tensor, Tensor]:
    """Draw anchor positions and query boxes of every clip from its own seed, so that its batch does not matter.

    Anchors: one position in each of 8 x 8 cells of the map, or in as many cells as the smallest side has positions.
    Queries: up to three cells of 32 pixels that hold centres of boxes of frame t, and one box in each. Boxes that can
    have no partner are not drawn: annotated ones whose object has no box in the anchor frame, and proposals where the
    anchor frame has none.

    Args:
        compared: the clips, on the CPU.
        grid: height and width of the frames' key maps.
        view_grid: height and width of the view's key map; None draws no positions of a view (S = 1).
        anchor_cells: rows and columns of the cells of anchors.
        annotated_first: cells that hold annotated objects come first, and give one of these.

    Returns:
        Positions [B,S,A] `y * X + x` in the key map of the anchor frame (S = 0) and of the view (S = 1), and the drawn
        boxes [B,Q] of frame t, -1 where there are fewer than Q; both int64.
    """
    grids = [grid] if view_grid is None else [grid, view_grid]
    cells = (
        min(anchor_cells, *(size[0] for size in grids)),
        min(anchor_cells, *(size[1] for size in grids)),
    )
    boxes, ids, seeds = compared.boxes_B2N4.numpy(), compared.box_ids_B2N.numpy(), compared.seeds
    positions = np.empty((len(seeds), len(grids), cells[0] * cells[1]), np.int64)
    queries = np.full((len(seeds), QUERIES), -1)
    for clip, seed in enumerate(seeds):
        rng = clip_rng(seed, "pair")
        for anchors, size in enumerate(grids):
            positions[clip, anchors] = draw_positions(rng, size, cells)
        drawn = _draw_queries(rng, boxes[clip, 0], ids[clip, 0], ids[clip, 1], annotated_first)
        queries[clip, : len(drawn)] = drawn
    return torch.from_numpy(positions), torch.from_numpy(queries)


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
    rng: np.random.Generator, boxes_N4: np.ndarray, ids_N: np.ndarray, anchor_ids_N: np.ndarray, annotated_first: bool
) -> list[int]:
    fit_N = (ids_N >= 0) & np.isin(ids_N, anchor_ids_N)
    if not fit_N.any():
        return []
    centres = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
    places = (centres // BOX_CELL).astype(np.int64)
    cell_N = places[:, 1] * (places[fit_N, 0].max() + 1) + places[:, 0]
    drawn: list[int] = []
    for kind_N in (ids_N > 0, ids_N == 0) if annotated_first else (ids_N >= 0,):
        candidates = np.flatnonzero(fit_N & kind_N & ~np.isin(cell_N, cell_N[drawn]))
        cells = rng.permutation(np.unique(cell_N[candidates]))[: QUERIES - len(drawn)]
        drawn += [int(rng.choice(candidates[cell_N[candidates] == cell])) for cell in cells]
    return drawn
