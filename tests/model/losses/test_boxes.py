"""Exclusive assignment against the Hungarian algorithm and by hand."""

import pytest
import torch

from model.losses.boxes import assign_rows

ALL = torch.ones(1, 3, dtype=torch.bool)


def total(scores_QN: torch.Tensor, columns_Q: torch.Tensor, taken_Q: torch.Tensor) -> float:
    rows = torch.arange(len(columns_Q))
    return float(scores_QN[rows, columns_Q][taken_Q].double().sum())


@pytest.mark.parametrize("columns", [3, 4, 5, 40])
def test_equals_the_hungarian_algorithm(columns: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    g = torch.Generator().manual_seed(columns)
    # Few different values, so that rows want the same columns.
    scores = -torch.randint(0, 6, (50, 1, columns), generator=g) - torch.rand(50, 3, columns, generator=g)
    index, taken = assign_rows(scores, ALL.expand(50, -1))
    assert taken.all()
    for problem in range(50):
        rows, best = optimize.linear_sum_assignment(scores[problem].numpy(), maximize=True)
        assert index[problem].tolist() == best.tolist() and rows.tolist() == [0, 1, 2]


def test_what_is_best_together_wins_by_hand() -> None:
    # Each row alone would take column 1. Together: 1 -> 0 (-5), 0 -> 1 (-1), 2 -> 2 (-4) is -10; all others are less.
    scores = torch.tensor([[[-9.0, -1, -8], [-5, -2, -9], [-9, -3, -4]]])
    index, taken = assign_rows(scores, ALL)
    assert index.tolist() == [[1, 0, 2]] and taken.all()


def test_rows_that_take_no_part_leave_their_columns() -> None:
    scores = torch.tensor([[[0.0, -1, -2], [0, -5, -9], [0, -3, -4]]])
    index, taken = assign_rows(scores, torch.tensor([[False, True, True]]))
    assert index.tolist() == [[0, 0, 1]] and taken.tolist() == [[False, True, True]]


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_too_few_columns_assign_as_many_rows_as_possible(columns: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    g = torch.Generator().manual_seed(columns)
    scores = torch.full((20, 3, 6), -torch.inf)
    open_columns = torch.tensor([4, 1])[:columns]
    scores[:, :, open_columns] = -10 * torch.rand(20, 3, columns, generator=g)
    index, taken = assign_rows(scores, ALL.expand(20, -1))
    assert taken.sum(dim=1).tolist() == [columns] * 20
    assert index[~taken].eq(0).all()
    for problem in range(20 if columns else 0):
        few = scores[problem][:, open_columns].numpy()
        rows, best = optimize.linear_sum_assignment(few, maximize=True)
        assert taken[problem].nonzero()[:, 0].tolist() == rows.tolist()
        assert index[problem][taken[problem]].tolist() == open_columns[torch.from_numpy(best)].tolist()


def test_one_row_takes_its_best_column() -> None:
    index, taken = assign_rows(torch.tensor([[[0.0, 3, 1]]]), torch.tensor([[True]]))
    assert index.tolist() == [[1]] and taken.tolist() == [[True]]
