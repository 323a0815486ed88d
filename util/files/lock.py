"""Locks on files: one process holds one at a time, and it ends with the process, however that ends."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_TAKEN = (errno.EAGAIN, errno.EACCES)


class LockedError(OSError):
    """Another process holds the lock; `holder` is what it wrote about itself, "" if nothing yet."""

    def __init__(self, path: Path, holder: str) -> None:
        """Keep whose it is."""
        super().__init__(f"{path} is locked by {holder or 'another process'}")
        self.holder = holder


@contextmanager
def process_lock(path: Path, holder: str) -> Iterator[None]:
    """Hold a lock for the length of a `with` block, in this process alone: children do not get it.

    The file exists while the lock is held, and after a kill, which frees it all the same. The folder is made, and
    removed again if nothing else has come into it.

    Args:
        path: of the file that is locked.
        holder: who holds it, for others' messages.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be made.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _lock(path)
    try:
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is freed: afterwards it may be another's
        file.close()
        for folder in made:
            try:
                folder.rmdir()
            except OSError:
                break  # it holds something


def _lock(path: Path) -> TextIOWrapper:
    """Open and lock the file."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            if not _try_lock(file):
                file.seek(0)
                raise LockedError(path, file.read().strip())
            # A process that ends removes its file: this one may have been opened just before, and be nobody's now.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _try_lock(file: TextIOWrapper) -> bool:
    if fcntl is None:
        logger.warning("this system has no locks that we know: see to it yourself that no two programs use one folder")
        return True
    try:
        # Not flock: forked processes, such as those that load data, would hold on to that one after a kill.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        logger.warning("%s cannot be locked (%s): see to it that no other program uses it", file.name, error.strerror)
    return True


def inherited_lock(path: Path) -> TextIOWrapper | None:
    """Return a file that is locked until it is closed, here and in processes that inherit it; None if it is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
