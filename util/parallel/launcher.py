"""A rank ends when the launcher that started it is gone: nobody else would end it, and it would hold its GPU."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_LAUNCHED = "TORCHELASTIC_RUN_ID"  # torchrun sets it
_LOOK_S = 1.0
# What a rank may take to save its work, before it is ended whatever it waits for.
_GRACE_S = 300.0


@contextmanager
def watch_launcher(look_s: float = _LOOK_S, grace_s: float = _GRACE_S) -> Iterator[None]:
    """Ask this process for its end by SIGTERM once torchrun is gone, and kill it where that does not help in time.

    Does nothing in a process that torchrun has not started: others outlive those that started them on purpose.

    Args:
        look_s: seconds between two looks.
        grace_s: seconds between SIGTERM and SIGKILL.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(os.getppid(), over, look_s, grace_s), daemon=True)
    if _LAUNCHED in os.environ:
        watch.start()
    try:
        yield
    finally:
        over.set()
        if watch.ident is not None:
            watch.join()


def _watch(launcher: int, over: threading.Event, look_s: float, grace_s: float) -> None:
    while not over.wait(look_s):
        if os.getppid() != launcher:
            break
    else:
        return
    logger.warning("torchrun (process %d), which started this process, is gone: asking it to end", launcher)
    os.kill(os.getpid(), signal.SIGTERM)
    if not over.wait(grace_s):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
