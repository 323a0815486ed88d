"""A rank whose launcher is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from util.parallel.launcher import watch_launcher

# A rank that notes SIGTERM, for which it takes its time.
RANK = """
import signal, sys, time
from pathlib import Path
from util.parallel.launcher import watch_launcher
place = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: (place / "asked").touch())
with watch_launcher(look_s=0.05, grace_s=0.5):
    (place / "ready").touch()
    time.sleep(1)
    time.sleep(1)
    time.sleep(1)
(place / "ended").touch()
"""
# Starts it and ends when it is ready.
LAUNCHER = """
import subprocess, sys, time
from pathlib import Path
process = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]])
while not (Path(sys.argv[1]) / "ready").exists():
    time.sleep(0.02)
print(process.pid)
"""


def rank_of_a_launcher_that_ends(place: Path, environment: dict[str, str]) -> set[str]:
    """What the rank leaves once it has ended, by itself or not."""
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(place), RANK],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as launcher:
        assert launcher.stderr is not None
        launcher.stderr.read()  # until the rank has ended, too
    return {path.name for path in place.iterdir()}


def test_it_is_asked_to_end_and_killed_when_it_does_not(tmp_path: Path) -> None:
    ranks = {**os.environ, "TORCHELASTIC_RUN_ID": "1"}
    assert rank_of_a_launcher_that_ends(tmp_path, ranks) == {"ready", "asked"}


def test_a_process_that_torchrun_has_not_started_lives_on(tmp_path: Path) -> None:
    others = {name: value for name, value in os.environ.items() if name != "TORCHELASTIC_RUN_ID"}
    assert rank_of_a_launcher_that_ends(tmp_path, others) == {"ready", "ended"}


def test_nothing_happens_while_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with watch_launcher(look_s=0.01):
            time.sleep(0.1)
        monkeypatch.setattr(os, "getppid", lambda: 1)
        time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == []
