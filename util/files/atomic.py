"""Files appear whole or not at all: they are written beside their place and renamed onto it."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str], sync: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path` that becomes `path` when the block ends without an error.

    The temporary name is hidden (it starts with a dot) and keeps the suffix, so that writers that choose a format by
    the suffix work. The block may make a file or a folder there. Missing parents are made. An error in the block
    removes what was written and leaves an older `path` as it was. `sync` waits until a file has reached the disk.

    Raises:
        OSError: when nothing can be written there; the message names `path` and the reason.
    """
    path = Path(path)
    temporary = temporary_sibling(path)
    with _named_errors(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _named_errors(path, temporary):
            yield temporary
            if sync and temporary.is_file():
                _flush_to_disk(temporary)
            os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden name in the folder of `path` with the same suffix; nothing is made."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")


def remove(path: Path) -> None:
    """Remove a file or a whole folder; a path that does not exist, or cannot be removed, is left in silence."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # a clean-up must not hide the error that led to it


def set_aside(path: Path) -> None:
    """Remove what lies at `path`, if anything, so that it vanishes at once and not file by file."""
    old = temporary_sibling(path)
    try:
        os.replace(path, old)
    except FileNotFoundError:
        return
    remove(old)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _named_errors(path: Path, temporary: Path) -> Iterator[None]:
    """Turn the operating system's errors about this file into ones that name it; all others pass unchanged."""
    try:
        yield
    except OSError as error:
        ours = {None, str(path), str(temporary), *map(str, path.parents)}
        name = None if error.filename is None else os.fspath(error.filename)
        if error.errno is None or name not in ours:
            raise
        raise OSError(error.errno, _explain(path, error)) from error


def _explain(path: Path, error: OSError) -> str:
    remedies = {
        errno.ENOSPC: "Free some space or choose another place.",
        errno.EDQUOT: "Free some space or choose another place.",
        errno.EISDIR: "A folder has that name: choose another one.",
        errno.ENOTDIR: "A part of the path is a file, not a folder: choose another place.",
        errno.EEXIST: "A part of the path is a file, not a folder: choose another place.",
    }
    remedy = remedies.get(error.errno or 0, "Choose a place that you may write to.")
    return f"cannot write {path}: {error.strerror or error}. {remedy}"
