"""Work shared out over processes: results in order, few tasks in flight."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")
# Tasks handed out beyond those being worked on: enough to keep every process busy, few enough for any list of tasks.
_AHEAD = 4


def default_processes() -> int:
    """Return the number of processes for work that needs a core each: this process's cores, at most 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)


def map_processes(function: Callable[[T], R], tasks: Iterable[T], processes: int) -> Iterator[R]:
    """Yield `function(task)` for each task in order; with one process everything happens in this one.

    `function` must be importable, tasks and results picklable. `tasks` is read as work is handed out, so that it may
    be a long generator. An error in `function` is raised here and ends the others' work.

    Raises:
        ValueError: when `processes` is below 1.
        ChildProcessError: when a process dies.
    """
    if processes < 1:
        raise ValueError(f"--processes must be at least 1, received {processes}.")
    if processes == 1:
        yield from map(function, tasks)
        return
    # Spawned, not forked: threads of this process (progress, libraries) would leave a forked one with held locks.
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_start_worker)
    waiting: deque[Future[R]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) >= _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"one of the {processes} processes died, perhaps for want of memory. Try again with fewer."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others in order
    cv2.setNumThreads(0)
