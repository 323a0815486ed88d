"""Work of several processes comes back in order, is handed out as it is asked for, and fails with its own error."""

import os
from collections.abc import Iterator

import pytest

from util.parallel.workers import default_processes, map_processes


def test_processes_give_results_in_order_and_pass_errors_on() -> None:
    assert list(map_processes(abs, iter(range(-30, 0)), 2)) == list(range(30, 0, -1))
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_processes(int, ["1", "x", "3"], 2))
    with pytest.raises(ChildProcessError, match="one of the 2 processes died, perhaps for want of memory"):
        list(map_processes(os._exit, [1], 2))
    with pytest.raises(ValueError, match="--processes must be at least 1, received 0"):
        list(map_processes(abs, [1], 0))


def test_one_process_does_nothing_ahead() -> None:
    handed_out = []

    def tasks() -> Iterator[int]:
        for task in (-1, -2, -3):
            handed_out.append(task)
            yield task

    results = map_processes(abs, tasks(), 1)
    assert (handed_out, next(results), handed_out) == ([-1], 1, [-1])
    assert (list(results), handed_out) == ([2, 3], [-1, -2, -3])


@pytest.mark.parametrize(("cores", "processes"), [(1, 1), (5, 5), (16, 16), (200, 16)])
def test_as_many_processes_as_cores_up_to_sixteen(cores: int, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_processes() == processes
