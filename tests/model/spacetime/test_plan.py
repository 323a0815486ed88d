"""What is drawn for a batch of clips, and where it lies."""

import numpy as np
import pytest
import torch

from model.spacetime.plan import draw_plan, place_plan


def test_plan_reads_all_earlier_frames_until_they_are_too_many() -> None:
    plan = draw_plan([3, 4], 8, 3, 0.5)
    for t, memory in enumerate(plan.memory, start=1):
        assert memory.shape == (2, min(t, 3))
        for frames in memory:
            assert frames[0] == 0 and (np.diff(frames) > 0).all() and frames[-1] < t
    assert plan.deep[0].all() and not plan.deep[7].any()
    everything = draw_plan([3, 4], 5, 0, 0.0)
    assert [memory.tolist() for memory in everything.memory] == [[list(range(t))] * 2 for t in range(1, 5)]


def test_plan_of_a_clip_does_not_depend_on_its_batch() -> None:
    joined, alone = draw_plan([3, 4, 5], 8, 3, 0.5), draw_plan([5], 8, 3, 0.5)
    for a, b in zip(joined.memory, alone.memory, strict=True):
        np.testing.assert_array_equal(a[2], b[0])
    np.testing.assert_array_equal(joined.deep[:, 2], alone.deep[:, 0])
    assert any((memory[0] != memory[1]).any() for memory in joined.memory)


def test_plan_draws_uniformly() -> None:
    plan = draw_plan(range(2000), 8, 3, 0.2)
    assert plan.deep[1:7].mean() == pytest.approx(0.2, abs=0.02)
    counts = np.bincount(plan.memory[6][:, 1:].ravel(), minlength=7)[1:] / 2000
    np.testing.assert_allclose(counts, 2 / 6, atol=0.04)


def test_values_are_encoded_only_where_they_are_read_later() -> None:
    plan = draw_plan([1, 2, 3], 8, 3, 0.0)
    for t in range(1, 8):
        read = [any((memory[clip] == t).any() for memory in plan.memory) for clip in range(3)]
        assert plan.encoded(t).tolist() == read
    assert plan.encoded(0).all() and not plan.encoded(7).any()


@pytest.mark.parametrize("encode_all", [False, True])
def test_a_placed_plan_says_what_the_drawn_one_says(encode_all: bool) -> None:
    valid = np.array([[True, True], [True, False], [True, True]])
    drawn = draw_plan([3, 4, 5], 8, 3, 0.3)
    steps = place_plan(drawn, valid, encode_all, torch.device("cpu"))
    for t, step in enumerate(steps):
        needed = (drawn.encoded(t) | encode_all) & (t < 7)
        np.testing.assert_array_equal(step.needed, needed)
        rows = np.arange(3)[needed] if step.rows is None else step.rows.numpy()
        np.testing.assert_array_equal(rows, np.flatnonzero(needed))
        real = np.arange(2 * needed.sum()) if step.real is None else step.real.numpy()
        np.testing.assert_array_equal(real, np.flatnonzero(valid[needed]))
        np.testing.assert_array_equal(step.deep_N.numpy(), drawn.deep[t][needed])
        if t:
            reads = step.flat_reads.numpy().reshape(3, -1)
            np.testing.assert_array_equal(reads // 8, np.arange(3)[:, None] + 0 * reads)
            np.testing.assert_array_equal(reads % 8, drawn.memory[t - 1])
