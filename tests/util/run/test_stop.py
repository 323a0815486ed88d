"""Signals that ask for the end."""

import signal
import time

import pytest

from util.run.stop import stop_signals


def test_signals_are_put_back_and_a_second_interrupt_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_signals() as stop:
        stop.receive(signal.SIGINT)
        stop.receive(signal.SIGINT)  # torchrun passes the terminal's on
        assert stop.signal == signal.SIGINT
        later = time.monotonic() + 5
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            stop.receive(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
