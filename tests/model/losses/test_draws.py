"""What is drawn for the correspondence losses."""

import numpy as np
import pytest
import torch

from model.losses.draws import draw_compared, draw_positions
from tests.support.paired_batches import compare

SEEDS = [11, 12, 13]


def boxes_at(centres: list[tuple[float, float]], size: float = 40) -> torch.Tensor:
    x, y = torch.tensor(centres, dtype=torch.float32).view(-1, 2).T
    return torch.stack([x - size / 2, y - size / 2, x + size / 2, y + size / 2], dim=1)


def draws_of(
    centres: list[tuple[float, float]],
    ids: list[int],
    anchor_ids: list[int],
    seeds: list[int] = SEEDS,
    pad: int = 0,
    annotated_first: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw for clips that all have these boxes in frame t and boxes of these objects in the anchor frame."""
    count = max(len(ids), len(anchor_ids)) + pad
    boxes = torch.zeros(len(seeds), 2, count, 4)
    boxes[:, 0, : len(ids)] = boxes_at(centres)
    box_ids = torch.full((len(seeds), 2, count), -1)
    box_ids[:, 0, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
    box_ids[:, 1, : len(anchor_ids)] = torch.tensor(anchor_ids, dtype=torch.int64)
    compared = compare([0] * len(seeds), [2] * len(seeds), boxes, box_ids, seeds)
    return draw_compared(compared, (24, 24), (12, 16), annotated_first=annotated_first)


@pytest.mark.parametrize("grid", [(24, 24), (8, 8), (13, 30)])
def test_one_position_in_each_cell(grid: tuple[int, int]) -> None:
    seen = set()
    for seed in range(200):
        positions = draw_positions(np.random.default_rng(seed), grid, (8, 8)).reshape(8, 8)
        y, x = positions // grid[1], positions % grid[1]
        rows, columns = np.arange(9) * grid[0] // 8, np.arange(9) * grid[1] // 8
        assert ((rows[:-1, None] <= y) & (y < rows[1:, None])).all()
        assert ((columns[:-1] <= x) & (x < columns[1:])).all()
        seen |= set(positions.reshape(-1).tolist())
    assert len(seen) == grid[0] * grid[1]  # every position comes up


def test_small_maps_have_as_many_anchors_as_the_smaller_one_allows() -> None:
    compared = compare([0], [2], seeds=[5])
    positions, queries = draw_compared(compared, (24, 24), (6, 10))
    assert positions.shape == (1, 2, 6 * 8)
    assert all(len(set(row.tolist())) == 48 for row in positions[0])
    assert positions[0, 1].max() < 60
    assert queries.tolist() == [[-1, -1, -1]]
    assert draw_compared(compared, (24, 24))[0].shape == (1, 1, 64)


def test_queries_come_from_different_cells() -> None:
    # Centres in cells of 32 pixels: three boxes in cell (0, 0), two in (1, 0), one in (5, 5) and one in (5, 0).
    centres = [(21.0, 21.0), (25.0, 30.0), (31.9, 22.0), (32.0, 25.0), (60.0, 31.0), (170.0, 170.0), (170.0, 25.0)]
    cells = [0, 0, 0, 1, 1, 2, 3]
    drawn = draws_of(centres, [0] * 7, [0], seeds=list(range(100)))[1].tolist()
    assert all(len({cells[box] for box in row}) == 3 for row in drawn)
    assert {box for row in drawn for box in row} == set(range(7))


def test_fewer_cells_give_fewer_queries() -> None:
    _, queries = draws_of([(40.0, 40.0), (41.0, 41.0), (100.0, 40.0)], [0, 0, 0], [0])
    assert all(sorted(row)[0] == -1 and sorted(row)[2] == 2 for row in queries.tolist())


def test_objects_without_a_partner_are_not_drawn() -> None:
    centres = [(40.0, 40.0), (100.0, 40.0), (160.0, 40.0), (220.0, 40.0)]
    with_proposals = draws_of(centres, [1, 2, 0, 0], [2, 0])[1]
    assert all(sorted(row) == [1, 2, 3] for row in with_proposals.tolist())
    without = draws_of(centres, [1, 2, 0, 0], [2])[1]
    assert without.tolist() == [[1, -1, -1]] * 3


def test_draws_depend_on_the_clips_seed_alone() -> None:
    centres = [(20.0 + 33 * i, 20.0 + 33 * j) for i in range(5) for j in range(5)]
    positions, queries = draws_of(centres, [0] * 25, [0])
    assert not torch.equal(positions[0], positions[1]) and not torch.equal(queries[0], queries[1])
    order = [2, 0, 1]
    permuted = draws_of(centres, [0] * 25, [0], seeds=[SEEDS[i] for i in order], pad=7)
    assert torch.equal(permuted[0], positions[order]) and torch.equal(permuted[1], queries[order])


def test_annotated_objects_are_drawn_first() -> None:
    # Five objects of which two share a cell, and proposals in their cells and in two others.
    centres = [(20.0, 20.0), (30.0, 20.0), (100.0, 20.0), (170.0, 20.0), (20.0, 100.0)]
    proposals = [*centres, (200.0, 200.0), (20.0, 200.0)]
    ids = [1, 2, 3, 4, 5, *[0] * 7]
    first = draws_of(centres + proposals, ids, [1, 2, 3, 4, 5, 0], seeds=list(range(60)), annotated_first=True)[1]
    assert all(max(row) < 5 and not {0, 1} <= set(row) for row in first.tolist())
    assert set(first.flatten().tolist()) == set(range(5))
    # One of them has a partner: proposals fill up, but for its cell.
    few = draws_of(centres + proposals, ids, [3, 0], seeds=list(range(60)), annotated_first=True)[1]
    assert all(row[0] == 2 and set(row[1:]) <= {5, 6, 8, 9, 10, 11} for row in few.tolist())
    plain = draws_of(centres + proposals, ids, [1, 2, 3, 4, 5, 0], seeds=list(range(60)))[1]
    assert (plain >= 5).any(dim=1).sum() > 30


def test_more_cells_give_more_anchors() -> None:
    compared = compare([0], [2], seeds=[5])
    assert draw_compared(compared, (24, 24), (12, 12), anchor_cells=12)[0].shape == (1, 2, 144)
