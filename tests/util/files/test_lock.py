"""Locks that end with their process."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from util.files import lock
from util.files.lock import LockedError, inherited_lock, process_lock

# Locks the file, forks a child that lives on, says that it is ready, and waits.
HOLDER = """
import os, sys, time
from pathlib import Path
from util.files.lock import process_lock
with process_lock(Path(sys.argv[1]), "the holder"):
    child = os.fork()
    if child == 0:
        time.sleep(600)
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock on tmp_path/run/a.lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run" / "a.lock")],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None and process.stdin is not None
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            os.kill(child, signal.SIGKILL)
            process.kill()


def test_one_process_at_a_time_and_the_other_learns_whose_it_is(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    path = tmp_path / "run" / "a.lock"
    with pytest.raises(LockedError, match="a.lock is locked by the holder") as caught, process_lock(path, "me"):
        pass
    assert caught.value.holder == "the holder" and path.read_text() == "the holder"
    assert holder.stdin is not None
    holder.stdin.close()
    holder.wait()
    assert not path.exists()


def test_a_killed_process_leaves_no_lock_though_its_child_lives(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    holder.kill()
    holder.wait()
    path = tmp_path / "run" / "a.lock"
    assert path.exists()
    with process_lock(path, "me"):
        assert path.read_text() == "me"
    assert not path.exists()


def test_folders_made_for_a_lock_go_with_it_unless_they_hold_something(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.lock"
    with process_lock(path, "me"):
        assert path.exists()
    assert not (tmp_path / "a").exists() and tmp_path.exists()
    with process_lock(path, "me"):
        (tmp_path / "a" / "kept").touch()
    assert (tmp_path / "a" / "kept").exists() and not path.parent.exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_its_holder_has_just_removed_locks_nothing(
    replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tries = tmp_path / "x.lock", []
    real = lock._try_lock

    def late(file: lock.TextIOWrapper) -> bool:
        tries.append(file)
        if len(tries) == 1:
            path.rename(tmp_path / "old")  # so that the new file cannot have its number
            if replaced:
                path.touch()
        return real(file)

    monkeypatch.setattr(lock, "_try_lock", late)
    with process_lock(path, "me"):
        assert len(tries) == 2 and path.read_text() == "me"


def test_without_locks_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "lockf", refuse)
    with process_lock(tmp_path / "a.lock", "me"):
        assert "cannot be locked (No locks available): see to it that no other program uses it" in caplog.text
    monkeypatch.setattr(lock, "fcntl", None)
    with caplog.at_level(logging.WARNING), process_lock(tmp_path / "b.lock", "me"):
        assert "this system has no locks that we know" in caplog.text
    taken = inherited_lock(tmp_path / "c.lock")
    assert taken is not None
    taken.close()
