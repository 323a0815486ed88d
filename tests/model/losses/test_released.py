"""The released correspondence loss by hand, against loops, and where its gradients go."""

import math

import pytest
import torch
from torch import Tensor

from model.losses.released import (
    ReleasedPlan,
    draw_released_plan,
    released_losses,
    view_sources,
)
from tests.support.paired_batches import released_batch, window_matrix

IDENTITY = torch.eye(3)


def maps(*frames: list[float]) -> Tensor:
    """A clip [1,T,1,2,2] of key maps with one channel, so that sim(a, b) = -(a - b)^2."""
    return torch.tensor(frames).view(1, -1, 1, 2, 2)


def test_sources_by_hand() -> None:
    # A frame of 4 x 4 positions. The view doubles the window of 2 x 2 positions from row 1, column 2.
    matrix = window_matrix(32, 16, 2, 64)
    rows, columns = [1, 1, 2, 2], [2, 2, 3, 3]
    expected = [4 * y + x for y in rows for x in columns]
    assert view_sources(matrix[None, None], (4, 4), (4, 4)).tolist() == [[expected]]
    mirrored = [4 * y + x for y in rows for x in columns[::-1]]
    flipped = window_matrix(32, 16, 2, 64, flipped=True)
    assert view_sources(flipped[None, None], (4, 4), (4, 4)).tolist() == [[mirrored]]


def test_sources_outside_the_frame_are_marked() -> None:
    # The view lies one position further right and down than the frame's 2 x 2.
    assert view_sources(window_matrix(16, 16, 1, 32)[None, None], (2, 2), (2, 2)).tolist() == [[[3, -1, -1, -1]]]
    before = window_matrix(-16, 0, 1, 32)
    assert view_sources(before[None, None], (2, 2), (2, 2)).tolist() == [[[-1, 0, -1, 2]]]


def test_losses_by_hand() -> None:
    # Two anchors, 0 and 1, at positions 0 and 3 of the first frame. The view is the mirrored frame.
    key = maps([0, 9, 9, 1], [1, 0, 0.5, 0])
    view = maps([8, 0, 2, 9], [0.2, 0.9, -1, 3])
    sources = torch.tensor([1, 0, 3, 2])
    plan = ReleasedPlan(torch.tensor([[0, 3]]), torch.tensor([[1, 2]]), sources.expand(1, 2, 4))
    losses = released_losses(key, view, plan)
    # Labels 0, 1, 0, 1 of the view; the frame there is 0, 1, 0, 0.5: similarities (0, -1), (-1, 0), (0, -1), equal.
    temporal = (3 * math.log(1 + math.exp(-1)) + math.log(2)) / 4
    # Points 0 and 2 of the view against the frame's 0 and 1: 0 -> (0, -1), 2 -> (-4, -1).
    frame = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert losses["temporal"].item() == pytest.approx(temporal, rel=1e-5)
    assert losses["frame"].item() == pytest.approx(frame, rel=1e-5)


def test_positions_outside_the_frame_do_not_count() -> None:
    key = maps([0, 9, 9, 1], [1, 0, 0.5, 0])
    view = maps([8, 0, 2, 9], [0.2, 0.9, -1, 3])
    plan = ReleasedPlan(torch.tensor([[0, 3]]), torch.tensor([[1, 2]]), torch.tensor([1, 0, -1, 2]).expand(1, 2, 4))
    losses = released_losses(key, view, plan)
    temporal = (2 * math.log(1 + math.exp(-1)) + math.log(2)) / 3
    assert losses["temporal"].item() == pytest.approx(temporal, rel=1e-5)
    assert losses["frame"].item() == pytest.approx(0, abs=1e-7)  # one point, no other
    nowhere = plan._replace(sources_BTP=torch.full((1, 2, 4), -1))
    assert {name: x.item() for name, x in released_losses(key, view, nowhere).items()} == {"temporal": 0, "frame": 0}


def test_equals_loops() -> None:
    key, view, plan = released_batch([1, 2, 3])
    losses = released_losses(key, view, plan)
    # The formula as it stands: the softmax of the frame's positions over all clips' anchors, then warped.
    anchors = torch.stack([key[b, 0].flatten(1).T[plan.anchors_BA[b]] for b in range(3)]).double()
    temporal, frame = [], []
    points = torch.cat([key[b, 0].flatten(1).T[plan.sources_BTP[b, 0, plan.points_BR[b]]] for b in range(3)]).double()
    for b in range(3):
        for t in (1, 2):
            here, seen = (x[b, t].flatten(1).T.double() for x in (key, view))
            log_p = (-torch.cdist(here, anchors.flatten(0, 1)).square() / math.sqrt(8)).log_softmax(dim=1)
            for i in range(36):
                label = int(torch.cdist(seen[i : i + 1], anchors[b]).argmin())
                temporal.append(-log_p[plan.sources_BTP[b, t, i], 64 * b + label])
        seen = view[b, 0].flatten(1).T[plan.points_BR[b]].double()
        log_p = (-torch.cdist(seen, points).square() / math.sqrt(8)).log_softmax(dim=1)
        frame += [-log_p[r, 16 * b + r] for r in range(16)]
    expected = {"temporal": torch.stack(temporal).mean().float(), "frame": torch.stack(frame).mean().float()}
    torch.testing.assert_close(losses, expected)


def test_gradients_reach_only_what_is_compared() -> None:
    key, view, plan = released_batch([1, 2])
    losses = released_losses(key, view, plan)
    temporal = torch.autograd.grad(losses["temporal"], [key, view], allow_unused=True, retain_graph=True)
    assert temporal[0][:, 1:].any() and temporal[0][:, 0].any() and temporal[1] is None
    frame = torch.autograd.grad(losses["frame"], [key, view])
    assert frame[0][:, 0].any() and not frame[0][:, 1:].any()
    assert frame[1][:, 0].any() and not frame[1][:, 1:].any()


def test_draws_depend_on_the_clips_seed_alone() -> None:
    plan, other = released_batch([4, 5, 6])[2], released_batch([6, 4])[2]
    assert torch.equal(other.anchors_BA, plan.anchors_BA[[2, 0]])
    assert torch.equal(other.points_BR, plan.points_BR[[2, 0]])
    assert plan.anchors_BA.shape == (3, 64) and plan.points_BR.shape == (3, 16)
    assert all(len(set(row)) == 16 for row in plan.points_BR.tolist())
    torch.testing.assert_close(
        released_losses(*released_batch([4, 5, 6])), released_losses(*released_batch([6, 4, 5])), atol=1e-6, rtol=1e-5
    )


def test_small_maps_have_fewer_points() -> None:
    plan = draw_released_plan([1], IDENTITY[None, None], (4, 9), (2, 3)).to(torch.device("cpu"))
    assert plan.anchors_BA.shape == (1, 32) and plan.points_BR.shape == (1, 6) and plan.sources_BTP.shape == (1, 1, 6)


def test_large_keys_stay_finite_under_autocast() -> None:
    key, view, plan = released_batch([1, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = released_losses((200 * key).bfloat16(), (200 * view).bfloat16(), plan)
    gradients = torch.autograd.grad(losses["temporal"] + losses["frame"], [key, view])
    assert 2 * (200 * key).square().sum(dim=2).max() > 65504
    assert all(x.isfinite() for x in losses.values()) and all(x.isfinite().all() for x in gradients)
