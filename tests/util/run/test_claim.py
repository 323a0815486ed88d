"""One training at a time in a folder."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from util.run.claim import LOCK, claim

HOLDER = """
import sys
from pathlib import Path
from util.run.claim import claim
with claim(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_second_training_learns_who_has_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(ValueError, match="is in use") as caught, claim(folder):
            pass
        text = str(caught.value)
        assert text.startswith(f"{folder} is in use: process {holder.pid} on {socket.gethostname()}, since 20")
        assert text.endswith(", trains there. Wait for it, end it, or choose another --output.")
        holder.kill()
    with claim(folder):
        assert f"process {os.getpid()} on " in (folder / LOCK).read_text()
    assert not (folder / LOCK).exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory|File exists"), claim(tmp_path / "file" / "run"):
        pass
