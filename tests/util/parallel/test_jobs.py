"""Jobs: order, slots, failures, locks, and the end that a signal asks for."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from util.parallel.jobs import Job, Outcome, end_of, run_jobs
from util.run.stop import StopRequest

WAIT_FOR_TERM = (
    "import os, pathlib, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(9)))\n"
    "pathlib.Path(sys.argv[1] + '.tmp').write_text(str(os.getpid()))\n"
    "os.rename(sys.argv[1] + '.tmp', sys.argv[1])\n"
    "time.sleep(60)"
)


def shell(folder: Path, name: str, *scripts: str) -> Job:
    commands = [["sh", "-c", script] for script in scripts]
    return Job(name=name, commands=lambda: commands, log=folder / f"{name}.log", lock=folder / name / "lock")


def waiting(folder: Path, name: str) -> Job:
    command = [sys.executable, "-c", WAIT_FOR_TERM, str(folder / f"{name}.started")]
    commands = [command, ["sh", "-c", f"touch {folder}/{name}.next"]]
    return Job(name=name, commands=lambda: commands, log=folder / f"{name}.log", lock=folder / f"{name}.lock")


def ended(outcomes: Sequence[Outcome]) -> list[tuple[str, int | None, int]]:
    return [(outcome.job.name, outcome.status, outcome.commands) for outcome in outcomes]


def test_commands_follow_one_another_until_one_fails(tmp_path: Path) -> None:
    jobs = [
        shell(tmp_path, "two", "echo one", "echo two >&2"),
        shell(tmp_path, "failing", "echo before; exit 3", "echo never"),
        shell(tmp_path, "nothing"),
        shell(tmp_path, "last", "echo last"),
    ]
    outcomes = ended(list(run_jobs(jobs, [{}], StopRequest())))
    assert outcomes == [("two", 0, 2), ("failing", 3, 1), ("nothing", 0, 0), ("last", 0, 1)]
    assert (tmp_path / "two.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "failing.log").read_text() == "before\n" and not (tmp_path / "nothing.log").exists()


def test_each_slot_has_its_environment_and_one_job_at_a_time(tmp_path: Path) -> None:
    # Each of the first two waits until the other has begun: they would never end one after the other.
    meet = "touch {0}/{1}.here; while [ ! -e {0}/{2}.here ]; do sleep 0.02; done; echo $PLACE"
    jobs = [
        shell(tmp_path, "a", meet.format(tmp_path, "a", "b")),
        shell(tmp_path, "b", meet.format(tmp_path, "b", "a")),
        shell(tmp_path, "c", "echo $PLACE"),
    ]
    most = 0

    def watch(running: Sequence[Job]) -> None:
        nonlocal most
        most = max(most, len(running))

    outcomes = list(run_jobs(jobs, [{"PLACE": "left"}, {"PLACE": "right"}], StopRequest(), watch))
    assert all(outcome.status == 0 for outcome in outcomes) and most == 2
    places = [(tmp_path / f"{name}.log").read_text().strip() for name in "abc"]
    assert places[:2] == ["left", "right"] and places[2] in ("left", "right")


def test_a_job_that_another_process_is_at_is_passed_over(tmp_path: Path) -> None:
    job = shell(tmp_path, "taken", "echo never")
    job.lock.parent.mkdir()
    with job.lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        outcomes = list(run_jobs([job, shell(tmp_path, "free", "true")], [{}], StopRequest()))
        assert ended(outcomes) == [("taken", None, 0), ("free", 0, 1)]
    assert ended(list(run_jobs([job], [{}], StopRequest()))) == [("taken", 0, 1)]


def test_the_lock_outlives_this_process_as_long_as_the_command(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; from tests.util.parallel.test_jobs import waiting\n"
        "from util.parallel.jobs import *\n"
        f"list(run_jobs([waiting(Path({str(tmp_path)!r}), 'a')], [{{}}], StopRequest()))"
    )
    started = tmp_path / "a.started"
    with subprocess.Popen([sys.executable, "-c", program]) as runner:
        while not started.exists():
            assert runner.poll() is None
            time.sleep(0.02)
        runner.kill()
    assert ended(list(run_jobs([waiting(tmp_path, "a")], [{}], StopRequest()))) == [("a", None, 0)]
    os.kill(int(started.read_text()), signal.SIGTERM)
    with (tmp_path / "a.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # comes free with the command's end


def test_a_stop_lets_the_running_ones_save_and_starts_nothing_more(tmp_path: Path) -> None:
    stop = StopRequest()

    def watch(_: Sequence[Job]) -> None:
        if all((tmp_path / f"{name}.started").exists() for name in "ab"):
            stop.receive(signal.SIGTERM)

    jobs = [waiting(tmp_path, name) for name in "abc"]
    outcomes = ended(list(run_jobs(jobs, [{}, {}], stop, watch)))
    assert sorted(outcomes) == [("a", 9, 1), ("b", 9, 1)]
    assert (tmp_path / "a.log").read_text() == "saved\n"
    assert not list(tmp_path.glob("*.next")) and not (tmp_path / "c.started").exists()


def test_who_leaves_early_leaves_nothing_behind(tmp_path: Path) -> None:
    def watch(_: Sequence[Job]) -> None:
        if (tmp_path / "a.started").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([waiting(tmp_path, "a")], [{}], StopRequest(), watch))
    assert (tmp_path / "a.log").read_text() == ""  # killed, not asked
    with (tmp_path / "a.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\n\ntwo\n  \nthree\n")
    assert end_of(tmp_path / "log", 2) == "two\nthree" and end_of(tmp_path / "none") == ""
