"""Commands that run several at a time, each with its share of the machine."""

import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from util.files.lock import inherited_lock
from util.run.stop import StopRequest

logger = logging.getLogger(__name__)

_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Job:
    """Commands that run one after the other, as long as each ends with status 0.

    Attributes:
        name: for messages.
        commands: gives the words of each command that is left to do; asked when the job's turn has come.
        log: file that gets what they print, after what it holds; the folder is made.
        lock: file that is locked while the job runs, so that no other process does the same.
    """

    name: str
    commands: Callable[[], Sequence[Sequence[str]]]
    log: Path
    lock: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: which.
        status: of the last command, negative for a signal's; 0 also if nothing was left to do; None if another process
            is at the job, so that it was passed over.
        commands: how many were started.
    """

    job: Job
    status: int | None
    commands: int = 0


def run_jobs(
    jobs: Sequence[Job],
    slots: Sequence[Mapping[str, str]],
    stop: StopRequest,
    watch: Callable[[Sequence[Job]], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Run jobs in their order, one in each slot at a time, and yield each when it is over.

    Once a stop is requested, the running commands get SIGTERM and are waited for; nothing else starts. If the caller
    leaves early, by an error or a second Ctrl-C, they are killed. The commands are in sessions of their own: a Ctrl-C
    in the terminal reaches them through this function only.

    Args:
        jobs: what to run.
        slots: environment variables of each place that a job can take, on top of this process's.
        stop: asks for the end.
        watch: called several times a second with the jobs that run.
    """
    waiting, free, running = deque(jobs), deque(slots), list[_Running]()
    stopping = False
    try:
        while running or (waiting and not stop.signal):
            if stop.signal and not stopping:
                stopping = True
                for one in running:
                    one.terminate()
            while waiting and free and not stop.signal:
                job = waiting.popleft()
                lock = inherited_lock(job.lock)
                if lock is None:
                    yield Outcome(job=job, status=None)
                else:
                    running.append(_Running(job, free.popleft(), lock))
            for one in list(running):
                status = one.advance(start_next=not stop.signal)
                if status is not None:
                    running.remove(one)
                    free.append(one.slot)
                    yield Outcome(job=one.job, status=status, commands=one.started)
            watch([one.job for one in running])
            if running:
                time.sleep(_POLL_S)
    finally:
        for one in running:
            one.kill()


def end_of(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log that are not empty."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


class _Running:
    """A job in its slot."""

    def __init__(self, job: Job, slot: Mapping[str, str], lock: TextIOWrapper) -> None:
        self.job, self.slot, self.started = job, slot, 0
        self._lock = lock
        self._left = deque(job.commands())
        self._process: subprocess.Popen[bytes] | None = None

    def advance(self, start_next: bool) -> int | None:
        """Start the next command if none runs; return the job's status when it is over."""
        status = 0 if self._process is None else self._process.poll()
        if status is None:
            return None
        if status == 0 and self._left and start_next:
            self._start(self._left.popleft())
            return None
        self._lock.close()
        return status

    def _start(self, command: Sequence[str]) -> None:
        logger.debug("%s: %s", self.job.name, " ".join(command))
        self.started += 1
        with self.job.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **self.slot},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._lock.fileno(),),  # the lock holds as long as the command, even if this process dies
            )

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._lock.close()
