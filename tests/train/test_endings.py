"""Ends that nobody planned: signals, dead processes, bad files. What has been learnt is kept, and goes on."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import train
from inference import validate as validation
from tests.support.paths import ROOT
from tests.support.runs import ENVIRONMENT, assert_same, error_of, flags, lines, wait_for
from util.files.checkpoint import read_checkpoint

CLOCK = ("clips_per_second", "data_wait", "minutes")


def state_of(folder: Path) -> dict[str, Any]:
    """The newest checkpoint, without its time and its configuration."""
    saved = read_checkpoint(folder / "last.pth")
    return {name: value for name, value in saved.items() if name not in ("seconds", "config")}


def log_of(folder: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines(folder)]


def children(process: int) -> list[int]:
    """All processes below a process (of Linux)."""
    own = [int(word) for path in Path(f"/proc/{process}/task").glob("*/children") for word in path.read_text().split()]
    return own + [below for child in own for below in children(child)]


def validating(root: Path, output: Path, *more: str) -> list[str]:
    words = ["--validate_every", "2", "--val_dataset", "d17", "--val_root", str(root.parent), "--val_size", "-1"]
    return flags(root, output, "--iterations", "4", "--log_every", "1", "--save_every", "100", *words, *more)


@pytest.mark.parametrize("cause", ["worker", "file"])
def test_a_step_that_gets_no_clips_ends_the_run_with_the_last_one_saved(
    cause: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(multiprocessing.active_children())  # of other tests
    real, frames = train.train_step, {path: path.read_bytes() for path in (root / "JPEGImages").rglob("*.png")}

    def spoil(state: Any, parts: Any, config: Any) -> Any:
        if state.step == 2 and cause == "worker":
            (worker,) = set(multiprocessing.active_children()) - before
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        for path in frames if state.step == 2 and cause == "file" else ():
            path.write_bytes(b"no picture")
        return real(state, parts, config)

    words = ["--iterations", "8", "--save_every", "100", "--num_workers", "1" if cause == "worker" else "0"]
    train.command_line(flags(root, tmp_path / "whole", *words))
    monkeypatch.setattr(train, "train_step", spoil)
    cut = tmp_path / "cut"
    message = error_of(lambda: train.command_line(flags(root, cut, *words)), capsys)
    if cause == "worker":
        assert message.startswith("error: a process that loads data died (process ") and ": exit code -9)" in message
    else:
        assert "is not an image" in message
    step = read_checkpoint(cut / "last.pth")["step"]
    assert 3 <= step < 8 and set(multiprocessing.active_children()) <= before
    for path, content in frames.items():
        path.write_bytes(content)
    monkeypatch.setattr(train, "train_step", real)
    train.command_line(["--resume", str(cut)])
    assert_same(state_of(tmp_path / "whole"), state_of(cut))


def test_a_signal_while_validating_loses_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write, validate = validation.write_mask, train.validate
    saved, written, kills = [], [], list[int]()

    def note_the_checkpoint(*arguments: Any) -> dict[str, float]:
        saved.append(read_checkpoint(arguments[4] / "last.pth")["step"])
        return validate(*arguments)

    def interrupted(path: Path, ids: Any) -> None:
        written.append(path)
        if len(written) in kills:
            os.kill(os.getpid(), signal.SIGTERM)
        write(path, ids)

    monkeypatch.setattr(train, "validate", note_the_checkpoint)
    monkeypatch.setattr(validation, "write_mask", interrupted)
    train.command_line(validating(root, whole))
    assert saved == [2, 4], "a checkpoint is written before each validation"
    frames, already = len(written) // 2, len(written)
    # In the third frame of the first validation; once that is done again, in the second frame of the next one.
    kills += [already + 3, already + 3 + frames + 2]
    for step, words in ((2, validating(root, cut)), (4, ["--resume", str(cut)])):
        with caplog.at_level("INFO"), pytest.raises(SystemExit) as stop:
            train.command_line(words)
        assert stop.value.code == 128 + signal.SIGTERM and read_checkpoint(cut / "last.pth")["step"] == step
        assert f"stopped by signal 15 at step {step}: continue with --resume" in caplog.text
        assert not [path for path in cut.iterdir() if path.name.startswith(".")], "nothing is left of the validation"
    assert len(written) == kills[-1], "the signal is seen at the next frame"
    train.command_line(["--resume", str(cut)])
    assert saved == [2, 4, 2, 2, 4, 4] and len(written) == kills[-1] + frames
    assert_same(state_of(whole), state_of(cut))
    assert log_of(whole) == log_of(cut)
    assert_same(read_checkpoint(whole / "best.pth"), read_checkpoint(cut / "best.pth") | {"config": config_of(whole)})


def config_of(folder: Path) -> Any:
    return read_checkpoint(folder / "best.pth")["config"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes of a run in Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_processes_end_with_torchrun_and_the_last_step_is_saved(
    number: signal.Signals, root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = flags(root, run, "--iterations", "100000", "--save_every", "100000", "--log_every", "1")
    words += ["--num_workers", "1", "--gather_negatives"]
    (tmp_path / "words").write_text(" ".join(words))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(ROOT / "tests" / "support" / "ddp_worker.py"), "words", str(tmp_path)]
    with subprocess.Popen(command, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE) as launcher:
        assert launcher.stderr is not None
        wait_for(lambda: (run / "metrics.jsonl").is_file() and len(lines(run)) >= 2, launcher)
        processes = children(launcher.pid)
        assert len(processes) >= 4, "two ranks, each with a process that loads data"
        launcher.send_signal(number)
        shown = launcher.stderr.read()
        launcher.wait()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < end, "some processes are still there"
        time.sleep(0.1)
    step = read_checkpoint(run / "last.pth")["step"]
    assert f"stopped by signal 15 at step {step}: continue with --resume" in shown
    assert lines(run)[-1]["step"] == step >= 2 and not (run / "run.lock").exists()
