"""Seconds and frames of segmenting, for frames a second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from util.device import synchronize


@dataclass(kw_only=True)
class Stopwatch:
    """Counts frames and the seconds of segmenting them: reading and writing files is not in it.

    With `synchronise` the device's queue is empty whenever the clock is read, as an honest figure needs.
    """

    synchronise: bool = False
    frames: int = 0
    seconds: float = 0.0
    _device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _started: float = 0.0

    def start(self, device: torch.device) -> None:
        """Begin a frame on `device`."""
        self._device = device
        self._started = self._now()

    def stop(self) -> None:
        """End the frame."""
        self.seconds += self._now() - self._started
        self.frames += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Add the time of a `with` block to the frames before."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def _now(self) -> float:
        if self.synchronise:
            synchronize(self._device)
        return time.perf_counter()
