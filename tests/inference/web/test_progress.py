"""Which frames are done and stale, and where runs begin, by hand."""

import pytest

from inference.web.progress import Direction, Progress


def run(progress: Progress, direction: Direction, frame: int, given: list[int], until: int | None = None) -> list[int]:
    """Carry a run out; returns the frames that it computes."""
    step = 1 if direction == "forward" else -1
    anchor, first = progress.plan(direction, frame, given)
    if anchor == first:
        progress.begin(direction, anchor)
    end = until if until is not None else (len(progress.status) - 1 if step > 0 else 0)
    frames = list(range(first, end + step, step))
    for number in frames:
        progress.finished(direction, number)
    return frames


def status(progress: Progress) -> str:
    return "".join(progress.status)


def test_forward_stopped_and_gone_on_with() -> None:
    progress = Progress(6)
    assert run(progress, "forward", 1, [1], until=2) == [1, 2]
    assert status(progress) == "011000"
    assert run(progress, "forward", 5, [1]) == [3, 4, 5]
    assert status(progress) == "011111"
    with pytest.raises(ValueError, match="Every frame is up to date going forward"):
        progress.plan("forward", 3, [1])


def test_a_correction_makes_what_follows_stale() -> None:
    progress = Progress(6)
    run(progress, "forward", 0, [0])
    progress.edited(2)
    assert status(progress) == "113333"
    assert run(progress, "forward", 5, [0, 2]) == [2, 3, 4, 5]
    assert status(progress) == "111111"


def test_an_edit_of_the_anchor_starts_over() -> None:
    progress = Progress(4)
    run(progress, "forward", 0, [0])
    progress.edited(0)
    assert status(progress) == "3333" and run(progress, "forward", 2, [0]) == [0, 1, 2, 3]


def test_an_edit_ahead_of_a_stopped_run_changes_nothing() -> None:
    progress = Progress(6)
    run(progress, "forward", 0, [0], until=2)
    progress.edited(4)
    assert status(progress) == "111000" and run(progress, "forward", 4, [0, 4]) == [3, 4, 5]


def test_both_ways_from_one_frame() -> None:
    progress = Progress(6)
    run(progress, "forward", 2, [2])
    assert run(progress, "backward", 2, [2]) == [2, 1, 0]
    assert status(progress) == "222111"
    progress.edited(1)
    assert status(progress) == "442111"
    progress.edited(2)
    assert status(progress) == "444333"


def test_a_run_over_the_frames_of_the_other_direction_closes_it() -> None:
    progress = Progress(6)
    run(progress, "forward", 0, [0])
    assert run(progress, "backward", 4, [0, 4]) == [4, 3, 2, 1, 0]
    assert status(progress) == "222221" and progress.passes["forward"] is None
    assert run(progress, "forward", 4, [0, 4]) == [4, 5]
    assert progress.passes["backward"] is not None


def test_the_nearest_painted_frame_is_the_anchor() -> None:
    progress = Progress(9)
    assert progress.plan("forward", 6, [1, 4, 8]) == (4, 4)
    assert progress.plan("backward", 6, [1, 4, 8]) == (8, 8)
    with pytest.raises(ValueError, match="Nothing is painted on this frame or before it"):
        progress.plan("forward", 0, [1])
    with pytest.raises(ValueError, match="There is no frame before this one"):
        progress.plan("backward", 0, [0])


def test_reset_keeps_results_as_stale() -> None:
    progress = Progress(3)
    run(progress, "forward", 0, [0], until=1)
    progress.reset()
    assert status(progress) == "330" and progress.plan("forward", 0, [0]) == (0, 0)


def test_json() -> None:
    progress = Progress(4)
    run(progress, "forward", 1, [1], until=2)
    again = Progress.from_json(progress.to_json())
    assert again.to_json() == progress.to_json() == {"status": "0110", "passes": {"forward": [1, 2], "backward": None}}
    with pytest.raises(ValueError, match="unknown states"):
        Progress.from_json({"status": "09", "passes": {"forward": None, "backward": None}})
