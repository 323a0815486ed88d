"""Features of boxes against torchvision's and by hand."""

import pytest
import torch

from model.losses.boxes import roi_average


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
