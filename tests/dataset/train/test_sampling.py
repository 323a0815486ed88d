"""The stream of clip requests."""

from collections import Counter

import numpy as np
import pytest

from dataset.train.sampling import (
    ClipStream,
    GapSchedule,
    Shard,
    StepSampler,
    draw_frames,
    draw_objects,
    draw_pair,
    draw_successive_frames,
)

GAPS = GapSchedule(gaps=(5, 10, 15, 5), starts=(0.0, 0.1, 0.3, 0.9))


def stream(**changes: object) -> ClipStream:
    values = {"videos": (3, 2), "weights": (2, 1), "batch_size": 4, "iterations": 100, "gaps": GAPS, "seed": 7}
    return ClipStream(**{**values, **changes})  # type: ignore[arg-type]


def test_stream_is_a_function_of_seed_and_step() -> None:
    whole = list(StepSampler(stream()))
    assert len(whole) == 100 and all(len(step) == 4 for step in whole)
    resumed = list(StepSampler(stream(), first=60))
    assert resumed == whole[60:] and len(StepSampler(stream(), first=60)) == 40
    assert stream(seed=8).requests(0) != whole[0]
    assert len({request.seed for step in whole for request in step}) == 400


def test_batches_of_another_size_cut_the_same_stream() -> None:
    joined = [request for step in range(6) for request in stream().requests(step)]
    halves = [request for step in range(12) for request in stream(batch_size=2, iterations=200).requests(step)]
    assert [(r.source, r.video, r.seed) for r in joined] == [(r.source, r.video, r.seed) for r in halves]


def test_a_pass_shows_every_video_as_often_as_its_weight() -> None:
    plan = stream()
    assert len(plan) == 8
    for first_step in (0, 2, 4):  # a pass is two steps long
        shown = Counter((r.source, r.video) for step in (0, 1) for r in plan.requests(first_step + step))
        assert shown == {(0, 0): 2, (0, 1): 2, (0, 2): 2, (1, 0): 1, (1, 1): 1}
    assert [r.video for r in plan.requests(0)] != [r.video for r in plan.requests(2)]


def test_gaps_follow_the_steps() -> None:
    changes = {step: GAPS.at(step, 100) for step in (0, 9, 10, 29, 30, 89, 90, 99)}
    assert changes == {0: 5, 9: 5, 10: 10, 29: 10, 30: 15, 89: 15, 90: 5, 99: 5}
    assert {r.max_gap for r in stream().requests(30)} == {15}


@pytest.mark.parametrize(("gaps", "starts"), [((5, 10), (0.0,)), ((5,), (0.1,)), ((5, 10), (0.0, 0.0)), ((0,), (0.0,))])
def test_bad_gap_schedules_are_refused(gaps: tuple[int, ...], starts: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="gap"):
        GapSchedule(gaps=gaps, starts=starts)


def test_bad_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one video in each"):
        stream(videos=(3, 0))
    with pytest.raises(ValueError, match=r"weights \(2, 0\) of 2 sources: expected an integer >= 1 for each"):
        stream(weights=(2, 0))


@pytest.mark.parametrize(("length", "count", "gap"), [(3, 3, 1), (8, 8, 5), (40, 3, 5), (40, 8, 1), (5, 2, 100)])
def test_frames_keep_the_gap(length: int, count: int, gap: int) -> None:
    directions: Counter[bool] = Counter()
    for seed in range(200):
        frames = draw_frames(np.random.default_rng(seed), length, count, gap, 0.5)
        steps = np.diff(frames)
        assert len(frames) == count and 0 <= min(frames) and max(frames) < length
        assert (steps > 0).all() or (steps < 0).all()
        assert np.abs(steps).max() <= gap
        directions[bool(steps[0] > 0)] += 1
    assert min(directions.values()) > 60  # 100 expected, standard deviation 7
    never = {draw_frames(np.random.default_rng(seed), length, count, gap, 0.0) for seed in range(50)}
    assert all(frames == tuple(sorted(frames)) for frames in never)


def test_objects() -> None:
    rng = np.random.default_rng(0)
    assert draw_objects(rng, [7, 2], 2) == [2, 7]
    drawn = [tuple(draw_objects(rng, [2, 5, 9, 200], 3)) for _ in range(50)]
    assert all(len(set(ids)) == 3 and set(ids) <= {2, 5, 9, 200} for ids in drawn)
    assert {i for ids in drawn for i in ids} == {2, 5, 9, 200}


def test_shards_deal_a_step_out_in_order() -> None:
    whole = list(StepSampler(stream(), first=98))
    size = len(whole[0])
    for ranks, accumulate in ((1, size), (size, 1), (1, 1)):
        shards = [Shard(rank=rank, ranks=ranks, accumulate=accumulate) for rank in range(ranks)]
        samplers = [list(StepSampler(stream(), 98, shard)) for shard in shards]
        for step in range(2):
            parts = [part for sampler in samplers for part in sampler[step * accumulate : (step + 1) * accumulate]]
            assert [request for part in parts for request in part] == whole[step]
            assert {len(part) for part in parts} == {size // ranks // accumulate}


def test_a_batch_that_does_not_divide_is_refused_with_the_nearest() -> None:
    assert Shard(ranks=2, accumulate=2).part_size(8) == 2
    with pytest.raises(ValueError, match=r"--batch_size 8 .* 3 processes x 1 parts .* nearest that work are 6 or 9\."):
        Shard(ranks=3).part_size(8)
    with pytest.raises(ValueError, match=r"nearest that work are 16\."):
        Shard(ranks=16).part_size(8)


def test_the_last_steps_are_plain() -> None:
    steps = ClipStream(**{**vars(stream()), "plain_end": 3})
    assert [steps.requests(step)[0].plain for step in (0, 96, 97, 99)] == [False, False, True, True]


@pytest.mark.parametrize("length, count, gap", [(3, 3, 1), (9, 3, 4), (40, 8, 5), (60, 3, 25)])
def test_two_neighbours_are_successive_and_gaps_hold(length: int, count: int, gap: int) -> None:
    seen, orders = set(), set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        frames = draw_successive_frames(rng, length, count, gap, 0.5)
        steps = np.diff(frames)
        assert len(set(frames)) == count and 0 <= min(frames) and max(frames) < length
        assert np.abs(steps).max() <= gap and (np.all(steps > 0) or np.all(steps < 0)) and 1 in np.abs(steps)
        pair, anchor = draw_pair(rng, frames)
        assert abs(frames[pair + 1] - frames[pair]) == 1
        assert anchor not in (pair, pair + 1) and 0 <= anchor < count
        seen.add((pair, anchor))
        orders.add(frames[0] < frames[-1])
    assert orders == {True, False}
    # Every place of the pair and every other frame as its anchor.
    assert len(seen) == (count - 1) * (count - 2)


def test_other_neighbours_are_as_far_apart_as_without_a_pair() -> None:
    """Of three frames one gap is 1, the other has the distances of two frames of a video one frame shorter."""
    pairs = [draw_successive_frames(np.random.default_rng(seed), 12, 3, 5, 0.0) for seed in range(3000)]
    plain = [draw_frames(np.random.default_rng(seed), 11, 2, 5, 0.0) for seed in range(3000)]
    received = np.bincount([max(np.diff(frames)) for frames in pairs], minlength=6)
    assert received.tolist() == np.bincount([b - a for a, b in plain], minlength=6).tolist()


def test_frames_without_a_successive_pair_are_refused() -> None:
    assert draw_pair(np.random.default_rng(0), (9, 5, 4)) == (1, 0)
    with pytest.raises(ValueError, match=r"frames \(2, 4, 6\): expected two successive ones for the correspondence"):
        draw_pair(np.random.default_rng(0), (2, 4, 6))


def test_frames_reach_as_far_as_is_asked_and_the_gaps_allow() -> None:
    def reach(frames: tuple[int, ...]) -> int:
        """Largest distance from the first of two successive frames to one that is none of them."""
        pairs = [i for i in range(len(frames) - 1) if abs(frames[i + 1] - frames[i]) == 1]
        return max(abs(frame - frames[i]) for i in pairs for frame in (set(frames) - {frames[i], frames[i + 1]}))

    def clips(max_gap: int, min_gap: int) -> list[tuple[int, ...]]:
        return [
            draw_successive_frames(np.random.default_rng(seed), 60, 3, max_gap, 0.5, min_gap) for seed in range(300)
        ]

    assert np.mean([reach(clip) >= 10 for clip in clips(20, 10)]) > 0.99
    assert np.mean([reach(clip) >= 10 for clip in clips(20, 0)]) < 0.7
    # A gap that is smaller than asked is what can be had.
    near = clips(4, 10)
    assert all(abs(b - a) <= 5 for clip in near for a, b in zip(clip, clip[1:], strict=False))
    assert np.mean([reach(clip) >= 4 for clip in near]) > 0.9
    assert clips(20, 0) == [draw_successive_frames(np.random.default_rng(s), 60, 3, 20, 0.5) for s in range(300)]


def test_the_anchor_is_far_enough_or_the_farthest() -> None:
    frames = (3, 4, 9, 20, 40)
    for min_gap, expected in ((0, {2, 3, 4}), (10, {3, 4}), (17, {3, 4}), (30, {4}), (99, {4})):
        drawn = {draw_pair(np.random.default_rng(seed), frames, min_gap) for seed in range(60)}
        assert drawn == {(0, anchor) for anchor in expected}, min_gap
