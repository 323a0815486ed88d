"""Reading ahead in a thread."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar, cast

T = TypeVar("T")
_END = object()


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield `items` in order while a thread prepares up to `depth` more.

    An error in the thread is raised where its item would have come. Closing the returned iterator, or dropping it,
    stops the thread and waits for it.
    """
    slots: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, slots, stop), daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            item, error = slots.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield cast(T, item)
    finally:
        stop.set()
        thread.join()


def _produce(
    items: Iterator[T], slots: "queue.Queue[tuple[object, BaseException | None]]", stop: threading.Event
) -> None:
    try:
        for item in items:
            if not _put(slots, (item, None), stop):
                return
        _put(slots, (_END, None), stop)
    except BaseException as error:
        _put(slots, (_END, error), stop)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _put(slots: "queue.Queue[tuple[object, BaseException | None]]", value: tuple, stop: threading.Event) -> bool:
    """Wait for a free slot; give up, and say so, when the consumer has stopped."""
    while not stop.is_set():
        try:
            slots.put(value, timeout=0.05)
            return True
        except queue.Full:
            continue
    return False
