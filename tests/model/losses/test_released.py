"""The released correspondence loss by hand, against loops, and where its gradients go."""

import math

import pytest
import torch
from torch import Tensor

from model.losses.released import draw_released, released_losses, view_sources
from tests.support.released_batches import ReleasedBatch, drawn_batch, window_matrix


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


def test_the_centre_of_a_position_decides() -> None:
    # Moved by less than half a position: each centre still lies in the position of the same number.
    assert view_sources(window_matrix(7.8, 0, 1, 32)[None, None], (2, 2), (2, 2)).tolist() == [[[0, 1, 2, 3]]]
    assert view_sources(window_matrix(8.2, 0, 1, 32)[None, None], (2, 2), (2, 2)).tolist() == [[[1, -1, 3, -1]]]


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
    losses = released_losses(key, view, torch.tensor([[0, 3]]), torch.tensor([[1, 2]]), sources.expand(1, 2, 4))
    # Labels 0, 1, 0, 1 of the view; the frame there is 0, 1, 0, 0.5: similarities (0, -1), (-1, 0), (0, -1), equal.
    temporal = (3 * math.log(1 + math.exp(-1)) + math.log(2)) / 4
    # Points 0 and 2 of the view against the frame's 0 and 1: 0 -> (0, -1), 2 -> (-4, -1).
    frame = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert losses["temporal"].item() == pytest.approx(temporal, rel=1e-5)
    assert losses["frame"].item() == pytest.approx(frame, rel=1e-5)


def test_positions_outside_the_frame_do_not_count() -> None:
    key = maps([0, 9, 9, 1], [1, 0, 0.5, 0])
    view = maps([8, 0, 2, 9], [0.2, 0.9, -1, 3])
    sources = torch.tensor([1, 0, -1, 2]).expand(1, 2, 4)
    batch = ReleasedBatch(key, view, torch.tensor([[0, 3]]), torch.tensor([[1, 2]]), sources)
    losses = batch.losses()
    temporal = (2 * math.log(1 + math.exp(-1)) + math.log(2)) / 3
    assert losses["temporal"].item() == pytest.approx(temporal, rel=1e-5)
    assert losses["frame"].item() == pytest.approx(0, abs=1e-7)  # one point, no other
    nowhere = batch._replace(sources_BTP=torch.full((1, 2, 4), -1))
    assert {name: x.item() for name, x in nowhere.losses().items()} == {"temporal": 0, "frame": 0}


def test_equals_loops() -> None:
    batch = drawn_batch([1, 2, 3])
    key, view = batch.leaves()
    losses = batch.losses()
    # The formula as it stands: the softmax of the frame's positions over all clips' anchors, then warped.
    anchors = torch.stack([key[b, 0].flatten(1).T[batch.anchors_BA[b]] for b in range(3)]).double()
    temporal, frame = [], []
    points = torch.cat([key[b, 0].flatten(1).T[batch.sources_BTP[b, 0, batch.points_BR[b]]] for b in range(3)]).double()
    for b in range(3):
        for t in (1, 2):
            here, seen = (x[b, t].flatten(1).T.double() for x in (key, view))
            log_p = (-torch.cdist(here, anchors.flatten(0, 1)).square() / math.sqrt(8)).log_softmax(dim=1)
            for i in range(36):
                label = int(torch.cdist(seen[i : i + 1], anchors[b]).argmin())
                temporal.append(-log_p[batch.sources_BTP[b, t, i], 64 * b + label])
        seen = view[b, 0].flatten(1).T[batch.points_BR[b]].double()
        log_p = (-torch.cdist(seen, points).square() / math.sqrt(8)).log_softmax(dim=1)
        frame += [-log_p[r, 16 * b + r] for r in range(16)]
    expected = {"temporal": torch.stack(temporal).mean().float(), "frame": torch.stack(frame).mean().float()}
    torch.testing.assert_close(losses, expected)


def test_gradients_reach_only_what_is_compared() -> None:
    batch = drawn_batch([1, 2])
    losses = batch.losses()
    temporal = torch.autograd.grad(losses["temporal"], batch.leaves(), allow_unused=True, retain_graph=True)
    assert temporal[0][:, 1:].any() and temporal[0][:, 0].any() and temporal[1] is None
    frame = torch.autograd.grad(losses["frame"], batch.leaves())
    assert frame[0][:, 0].any() and not frame[0][:, 1:].any()
    assert frame[1][:, 0].any() and not frame[1][:, 1:].any()


def test_draws_depend_on_the_clips_seed_alone() -> None:
    batch, other = drawn_batch([4, 5, 6]), drawn_batch([6, 4])
    assert torch.equal(other.anchors_BA, batch.anchors_BA[[2, 0]])
    assert torch.equal(other.points_BR, batch.points_BR[[2, 0]])
    assert batch.anchors_BA.shape == (3, 64) and batch.points_BR.shape == (3, 16)
    assert all(len(set(row)) == 16 for row in batch.points_BR.tolist())
    torch.testing.assert_close(drawn_batch([4, 5, 6]).losses(), drawn_batch([6, 4, 5]).losses(), atol=1e-6, rtol=1e-5)


def test_small_maps_have_fewer_points() -> None:
    anchors, points = draw_released([1], (4, 9), (2, 3))
    assert anchors.shape == (1, 32) and points.shape == (1, 6)


def test_large_keys_stay_finite_under_autocast() -> None:
    batch = drawn_batch([1, 2])
    key, view = batch.leaves()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = batch._replace(key=(200 * key).bfloat16(), view=(200 * view).bfloat16()).losses()
    gradients = torch.autograd.grad(losses["temporal"] + losses["frame"], [key, view])
    assert 2 * (200 * key).square().sum(dim=2).max() > 65504
    assert all(x.isfinite() for x in losses.values()) and all(x.isfinite().all() for x in gradients)
