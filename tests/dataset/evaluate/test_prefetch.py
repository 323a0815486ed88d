"""Reading ahead in a thread: order, errors, and the end."""

import threading
from collections.abc import Iterator

import pytest

from dataset.evaluate.prefetch import prefetch


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_items_come_in_order_and_the_thread_ends() -> None:
    assert list(prefetch(iter(range(20)))) == list(range(20))
    assert not running()


def test_errors_come_where_their_item_would() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second is damaged")

    found = prefetch(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second is damaged"):
        next(found)
    assert not running()


def test_closing_stops_the_thread_and_the_items() -> None:
    closed, taken = [], []

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                taken.append(number)
                yield number
        finally:
            closed.append(True)

    found = prefetch(items(), depth=2)
    assert next(found) == 0
    found.close()
    assert closed == [True] and not running() and len(taken) <= 5
