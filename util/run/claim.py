"""Whose a run's folder is: one program writes into it at a time."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from util.files.lock import LockedError, process_lock
from util.parallel import distributed

LOCK = "run.lock"


@contextmanager
def claim(folder: Path, does: str = "trains") -> Iterator[None]:
    """Have the folder of a run to oneself for the length of a `with` block: rank 0 locks it, for all ranks.

    The lock of a process that was killed is free. A folder that does not exist is made; without a run in it it goes
    again. `does` says in a message what the other one does.

    Raises, on every rank, ValueError while another process has it, and OSError if the lock cannot be written.
    """
    with ExitStack() as stack:
        fault: ValueError | OSError | None = None
        if distributed.is_main():
            try:
                stack.enter_context(process_lock(folder / LOCK, _whoami()))
            except LockedError as error:
                fault = ValueError(
                    f"{folder} is in use: {error.holder or 'another process'} {does} there. Wait for it, end it, or "
                    "choose another --output."
                )
            except OSError as error:
                fault = error
        fault = distributed.broadcast_object(fault)
        if fault is not None:
            raise fault
        yield


def _whoami() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},"
