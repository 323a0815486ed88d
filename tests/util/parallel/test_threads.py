"""Results of threads in order, errors in their place, and an early end."""

import threading
import time

import pytest

from util.parallel.threads import in_order


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("in-order")]


@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_order(threads: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(in_order(slow_at_first, range(12), threads)) == [number * number for number in range(12)]
    assert not running()


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)  # nobody passes before three have come
    assert len(list(in_order(lambda _: meeting.wait(), range(3), threads=3))) == 3


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_where_its_result_would(threads: int) -> None:
    found = in_order(lambda number: 1 // (2 - number), range(9), threads)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert not running()


def test_closing_does_no_more() -> None:
    done: list[int] = []
    found = in_order(lambda number: done.append(number), range(1000), threads=3)
    next(found)
    found.close()
    assert len(done) <= 4 and not running()
