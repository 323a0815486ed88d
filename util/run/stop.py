"""Ending a run in order when a cluster or a user asks for it."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# torchrun passes on a Ctrl-C that its processes have got from the terminal, too.
_SAME_REQUEST_S = 2.0


class StopRequest:
    """Whether a signal has asked the run to end.

    Attributes:
        signal: its number; 0 while there was none.
    """

    def __init__(self) -> None:
        """Start without a request."""
        self.signal = 0
        self._since = 0.0

    def asked(self) -> bool:
        """Return whether there was one."""
        return self.signal > 0

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Note a signal; a second Ctrl-C ends the program at once, by KeyboardInterrupt."""
        now = time.monotonic()
        if not self.signal:
            self.signal, self._since = number, now
        elif number == signal.SIGINT and now - self._since > _SAME_REQUEST_S:
            raise KeyboardInterrupt


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Note SIGTERM and SIGINT for the length of a `with` block instead of dying of them."""
    request = StopRequest()
    before = {number: signal.signal(number, request.receive) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
