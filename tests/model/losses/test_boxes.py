"""Features of boxes against torchvision's and by hand; exclusive assignment against the Hungarian algorithm."""

import pytest
import torch

from model.losses.boxes import assign_rows, box_iou, roi_average

ALL = torch.ones(1, 3, dtype=torch.bool)


def random_boxes(pictures: int, count: int, side: float, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    corners = torch.rand(pictures, count, 2, 2, generator=g) * side
    return torch.cat([corners.amin(dim=2), corners.amax(dim=2)], dim=2)


def test_a_linear_ramp_gives_the_value_at_the_centre() -> None:
    # Cell (y, x) holds 10 y + x; its centre lies at pixels (16 x + 8, 16 y + 8) from the edge.
    ramp = (10 * torch.arange(8.0)[:, None] + torch.arange(8.0))[None, None]
    boxes = torch.tensor([[[8.0, 8, 120, 120], [20, 40, 50, 100], [30, 30, 34, 90]]])
    expected = [10 * (y / 16 - 0.5) + x / 16 - 0.5 for x, y in ((64, 64), (35, 70), (32, 60))]
    torch.testing.assert_close(roi_average(ramp, boxes)[0, :, 0], torch.tensor(expected))


def test_equals_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    g = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 5, 6, 9, generator=g, dtype=torch.float64).float().requires_grad_()
    boxes = random_boxes(2, 20, 96)
    boxes[:, 0] = torch.tensor([0.0, 0, 144, 96])  # the whole picture, beyond the outermost centres
    ours = roi_average(maps, boxes)
    aligned = ops.roi_align(maps, list(boxes), output_size=7, spatial_scale=1 / 16, sampling_ratio=2, aligned=True)
    theirs = aligned.mean(dim=(2, 3)).view(2, 20, 5)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn(ours.shape, generator=g)
    torch.testing.assert_close(*[torch.autograd.grad((x * weight).sum(), maps)[0] for x in (ours, theirs)])


def test_a_box_of_no_size_gives_the_value_there() -> None:
    maps = torch.arange(4.0).view(1, 1, 2, 2)
    torch.testing.assert_close(roi_average(maps, torch.tensor([[[8.0, 24, 8, 24]]])), torch.tensor([[[2.0]]]))


def test_no_boxes_give_no_features() -> None:
    assert roi_average(torch.zeros(2, 3, 4, 4), torch.zeros(2, 0, 4)).shape == (2, 0, 3)


def test_stays_fp32_under_autocast() -> None:
    maps = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(2)).bfloat16()
    boxes = random_boxes(1, 3, 96)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = roi_average(maps, boxes)
    assert torch.equal(ours, roi_average(maps.float(), boxes))


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


def test_overlap_by_hand() -> None:
    a = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 0, 0]]])
    b = torch.tensor([[[0.0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 2, 2], [0, 0, 0, 0]]])
    expected = torch.tensor([[[1, 4 / 28, 0, 1 / 16, 0], [0] * 5]])
    torch.testing.assert_close(box_iou(a, b), expected)


def test_overlap_equals_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    a, b = random_boxes(2, 7, 96), random_boxes(2, 9, 96, seed=1)
    torch.testing.assert_close(box_iou(a, b), torch.stack([ops.box_iou(a[i], b[i]) for i in range(2)]))
