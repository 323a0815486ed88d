"""Resuming: a run that was killed goes on bit for bit, and there is always a checkpoint to go on from."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from tests.support.paths import ROOT
from tests.support.runs import assert_same, error_of, flags, lines
from util.config.plain import from_plain, plain
from util.config.presets import preset
from util.config.train import TrainConfig
from util.files.checkpoint import read_checkpoint
from util.run import folder as run_folder
from util.run.folder import checkpoints, open_stage, read_newest, save_step
from util.run.stop import stop_signals

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# For each folder on its input, forks a process that saves there as fast as it can until it is killed. Each checkpoint
# holds its step in every number.
SAVER = """
import os, sys, torch
from pathlib import Path
from util.run.folder import save_step
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        for step in range(1, 100_000):
            payload = {"step": step, "network": {str(i): torch.full((40_000,), float(step)) for i in range(4)}}
            save_step(Path(line.strip()), payload, step, keep=2)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, "the run ended before its time"
        time.sleep(0.02)


def test_four_steps_equal_two_kill_resume_and_two(root: Path, tmp_path: Path) -> None:
    # A running mean, a schedule, deep updates, BatchNorm that trains, and two parts a step.
    words = ["--iterations", "4", "--log_every", "1", "--accumulate", "2", "--batch_size", "4", "--save_every", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train.command_line(flags(root, whole, *words))
    command = [sys.executable, "train.py", *flags(root, killed, *words)]
    # The run waits after its second step, with the third step's line already in the log.
    program = (
        "import sys, time, train; real = train.train_step\n"
        "def slow(state, parts, config):\n"
        "    time.sleep(600 if state.step == 3 else 0); return real(state, parts, config)\n"
        "train.train_step = slow; train.command_line(sys.argv[1:])"
    )
    process = subprocess.Popen([command[0], "-c", program, *command[2:]], cwd=ROOT, env=ENVIRONMENT, text=True)
    try:
        wait_for(lambda: (killed / "metrics.jsonl").is_file() and len(lines(killed)) == 3, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [path.name for path in checkpoints(killed)] == ["step-0000002.pth"]
    train.command_line(["--resume", str(killed)])
    first, second = (read_checkpoint(folder / "last.pth") for folder in (whole, killed))
    for payload in (first, second):
        del payload["seconds"], payload["config"]
    assert_same(first, second)
    names = ("step", "loss", "cross_entropy", "dice", "iou", "lr", "gradient_norm", "gap", "pixel_share")
    assert [[line[name] for name in names] for line in lines(whole)] == [
        [line[name] for name in names] for line in lines(killed)
    ]


def test_a_kill_at_any_moment_leaves_a_newest_checkpoint_that_is_whole(tmp_path: Path) -> None:
    draw, steps = random.Random(0), []
    process = subprocess.Popen(
        [sys.executable, "-c", SAVER],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        for kill in range(20):
            folder = tmp_path / str(kill)
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            wait_for(lambda place=folder: bool(checkpoints(place)), process)  # type: ignore[misc]
            time.sleep(draw.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            assert process.stdout.readline() == "ended\n"
            newest = read_newest(folder)
            assert newest is not None
            path, payload = newest
            assert path.name == f"step-{payload['step']:07d}.pth" and 1 <= len(checkpoints(folder)) <= 3
            assert all((value == payload["step"]).all() for value in payload["network"].values())
            last = folder / "last.pth"
            assert payload["step"] - (read_checkpoint(last)["step"] if last.is_file() else 0) <= 1
            steps.append(payload["step"])
        process.stdin.close()
    assert max(steps) > 1


def test_the_newest_are_kept_and_last_is_the_newest(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save_step(tmp_path, {"step": step}, step, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-0000010.pth", "step-0000015.pth"]
    assert read_checkpoint(tmp_path / "last.pth") == {"step": 15}
    assert sorted(path.name for path in tmp_path.iterdir())[0] == "last.pth"
    save_step(tmp_path, {"step": 20}, 20, keep=0)
    assert len(checkpoints(tmp_path)) == 3


def test_last_is_a_copy_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(run_folder.os, "link", refuse)
    save_step(tmp_path, {"step": 5}, 5, keep=1)
    assert read_checkpoint(tmp_path / "last.pth") == {"step": 5}


def test_a_full_disk_leaves_the_previous_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        save_step(tmp_path, {"step": step}, step, keep=2)

    def fill(payload: object, file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match="cannot write .*step-0000003.pth: No space left on device. Free some space"):
        save_step(tmp_path, {"step": 3}, 3, keep=1)
    assert [read_checkpoint(path)["step"] for path in checkpoints(tmp_path)] == [1, 2]
    newest = read_newest(tmp_path)
    assert newest is not None and newest[1] == {"step": 2} == read_checkpoint(tmp_path / "last.pth")


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_newest(tmp_path) is None
    for step in (1, 2):
        save_step(tmp_path, {"step": step}, step, keep=2)
    damaged = tmp_path / "step-0000002.pth"
    damaged.write_bytes(damaged.read_bytes()[:200])
    newest = read_newest(tmp_path)
    assert newest is not None and newest[1] == {"step": 1}
    assert f"checkpoint {damaged} is truncated or damaged" in caplog.text
    (tmp_path / "step-0000001.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=f"no checkpoint in {tmp_path} can be read: checkpoint .* is empty"):
        read_newest(tmp_path)


def test_what_a_killed_saving_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".step-0000003.99-ab.tmp.pth"
    left.write_bytes(b"half")
    save_step(tmp_path, {"step": 2}, 2, keep=2)
    open_stage(tmp_path, preset("xmem"))
    assert not left.exists() and len(checkpoints(tmp_path)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_goes_on_later(
    number: signal.Signals,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "run"
    real = train.train_step

    def interrupted(state: Any, parts: Any, config: Any) -> Any:
        if state.step == 1:
            os.kill(os.getpid(), number)
        return real(state, parts, config)

    monkeypatch.setattr(train, "train_step", interrupted)
    with caplog.at_level("INFO"), pytest.raises(SystemExit) as stop:
        train.command_line(flags(root, folder, "--iterations", "4"))
    assert stop.value.code == 128 + number
    assert f"stopped by signal {number:d} at step 2: continue with --resume" in caplog.text
    assert read_checkpoint(folder / "last.pth")["step"] == 2
    monkeypatch.setattr(train, "train_step", real)
    train.command_line(["--resume", "latest", "--output", str(tmp_path)])
    assert read_checkpoint(folder / "last.pth")["step"] == 4
    assert [line["step"] for line in lines(folder)] == [2, 4]


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


def test_a_chain_of_stages_hands_weights_on_and_resumes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pictures, folder = tmp_path / "static", tmp_path / "run"
    pictures.mkdir()
    for kind, name in (("JPEGImages", "a.jpg"), ("Annotations", "a.png")):
        (pictures / name).write_bytes((root / kind / "480p" / "a" / "00000.png").read_bytes())
    words = flags(root, folder, "--stage", "03", "--static_root", str(pictures))
    words = [word for word in words if word not in ("--dataset", "davis")]
    real = train.train_step

    def interrupted(state: Any, parts: Any, config: TrainConfig) -> Any:
        if config.stage == "3":
            os.kill(os.getpid(), signal.SIGTERM)
        return real(state, parts, config)

    monkeypatch.setattr(train, "train_step", interrupted)
    with caplog.at_level("INFO"), pytest.raises(SystemExit):
        train.command_line(words)
    assert "the value encoder grows from 4 to 5 input channels" in caplog.text
    assert "BatchNorm trains" in caplog.text and "BatchNorm keeps its statistics" in caplog.text
    monkeypatch.setattr(train, "train_step", real)
    train.command_line(["--resume", str(folder)])
    steps = {stage: read_checkpoint(folder / stage / "last.pth") for stage in ("stage0", "stage3")}
    assert [(saved["stage"], saved["step"]) for saved in steps.values()] == [("0", 2), ("3", 2)]
    assert steps["stage0"]["network"]["value_encoder.conv1.weight"].shape[1] == 4
    assert steps["stage3"]["network"]["value_encoder.conv1.weight"].shape[1] == 5
    assert [line["step"] for line in lines(folder / "stage3")] == [1, 2]


def test_what_cannot_be_resumed(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    train.command_line(flags(root, folder, "--iterations", "1", "--stage", "3"))

    def message(*words: str) -> str:
        return error_of(lambda: train.command_line(list(words)), capsys)

    here = f"error: --resume {folder}: that run is of "
    assert message("--resume", str(folder), "--model", "stcn").startswith(f"{here}model xmem, received --model stcn.")
    assert message("--resume", str(folder), "--stage", "2").startswith(f"{here}stage 3, received --stage 2.")
    assert "a run goes on in its folder" in message("--resume", str(folder), "--output", "elsewhere")
    assert message("--resume", str(folder)).startswith(f"error: the run in {folder} is over (")
    # Another stage's or network's weights in the run's place.
    saved = read_checkpoint(folder / "last.pth")
    save_step(folder, {**saved, "stage": "0"}, 2, keep=0)
    more = ("--resume", str(folder), "--iterations", "5")
    assert message(*more) == f"error: the checkpoint in {folder} is of stage 0, expected stage 3 to go on with."
    weights = {name: value for name, value in saved.items() if name != "optimizer"}
    save_step(folder, weights, 3, keep=0)
    assert "holds weights only: start another run with --checkpoint" in message(*more)
    other = {name: value for name, value in saved["network"].items() if not name.startswith("key_proj.d_proj")}
    save_step(folder, {**saved, "network": other}, 4, keep=0)
    assert f"the checkpoint in {folder} does not fit xmem (tiny)" in message(*more)
    # Stages in the wrong order, by --checkpoint.
    earlier = flags(root, tmp_path / "new", "--stage", "2", "--checkpoint", str(folder / "step-0000001.pth"))
    assert "is of stage 3, stage 2 comes before it: stages build on each other" in message(*earlier)
    (folder / "run.json").write_text("{}")
    assert "run.json is damaged" in message(*more)


def test_auto_starts_a_run_or_goes_on_with_it(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = flags(root, tmp_path / "run", "--resume", "auto")
    train.command_line(words)
    train.command_line([*words, "--iterations", "3"])
    assert read_checkpoint(tmp_path / "run" / "last.pth")["step"] == 3
    assert "resumed with another setting: iterations 2 -> 3" in caplog.text


def test_a_configuration_comes_back_from_json() -> None:
    for model, stage in (("xmem", "0"), ("stcn-corr", "3")):
        run = preset(model, "base", stage)
        assert from_plain(TrainConfig, plain(run)) == run
    newer = {**plain(preset("xmem")), "of_a_newer_program": 1}
    del newer["seed"]
    assert from_plain(TrainConfig, newer) == preset("xmem"), "what is missing takes its default"
