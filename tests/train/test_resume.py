"""Resuming: a run that was killed goes on bit for bit, and there is always a checkpoint to go on from."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import train
from tests.support.paths import ROOT
from tests.support.runs import ENVIRONMENT, assert_same, error_of, flags, lines, wait_for
from util.config.train import TrainConfig
from util.files.checkpoint import read_checkpoint
from util.run.folder import checkpoints, save_step


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


@pytest.mark.parametrize("within", ["0", "3"])
def test_a_chain_of_stages_hands_weights_on_and_resumes(
    within: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pictures, folder = tmp_path / "static", tmp_path / "run"
    pictures.mkdir()
    for kind, name in (("JPEGImages", "a.jpg"), ("Annotations", "a.png")):
        (pictures / name).write_bytes((root / kind / "480p" / "a" / "00000.png").read_bytes())
    words = flags(root, folder, "--stage", "03", "--static_root", str(pictures))
    words = [word for word in words if word not in ("--dataset", "davis")]
    real = train.train_step

    def interrupted(state: Any, parts: Any, config: TrainConfig) -> Any:
        if config.stage == within:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(state, parts, config)

    monkeypatch.setattr(train, "train_step", interrupted)
    with caplog.at_level("INFO"), pytest.raises(SystemExit):
        train.command_line(words)
    monkeypatch.setattr(train, "train_step", real)
    with caplog.at_level("INFO"):
        train.command_line(["--resume", str(folder)])
    assert "the value encoder grows from 4 to 5 input channels" in caplog.text
    assert "BatchNorm trains" in caplog.text and "BatchNorm keeps its statistics" in caplog.text
    steps = {stage: read_checkpoint(folder / stage / "last.pth") for stage in ("stage0", "stage3")}
    assert [(saved["stage"], saved["step"]) for saved in steps.values()] == [("0", 2), ("3", 2)]
    assert steps["stage0"]["network"]["value_encoder.conv1.weight"].shape[1] == 4
    assert steps["stage3"]["network"]["value_encoder.conv1.weight"].shape[1] == 5
    assert [line["step"] for line in lines(folder / f"stage{within}")] == [1, 2]


def test_what_cannot_be_resumed(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    train.command_line(flags(root, folder, "--iterations", "1", "--stage", "3"))

    def message(*words: str) -> str:
        return error_of(lambda: train.command_line(list(words)), capsys)

    here = f"error: --resume {folder}: that run is of "
    assert message("--resume", str(folder), "--model", "stcn").startswith(f"{here}model xmem, received --model stcn.")
    assert message("--resume", str(folder), "--stage", "2").startswith(f"{here}stage 3, received --stage 2.")
    assert "a run goes on in its folder" in message("--resume", str(folder), "--output", "elsewhere")
    over = f"error: the run in {folder} is over ("
    assert message("--resume", str(folder)).startswith(over)
    assert message("--resume", str(folder / "last.pth")).startswith(over)
    assert "there is no run in it" in message("--resume", str(folder / "lost.pth"))
    assert message("--resume").startswith("error: --resume: expected a run's folder, latest or auto.")
    with pytest.raises(SystemExit) as end:
        train.command_line(["--resume", "auto", "--output", str(folder), "--model", "xmem", "--stage", "3"])
    assert end.value.code == 0
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


def test_two_trainings_do_not_share_a_folder(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    train.command_line(flags(root, folder, "--iterations", "1"))
    program = "import sys; from pathlib import Path; from util.run.claim import claim\nwith claim(Path(sys.argv[1])):\n"
    command = [sys.executable, "-c", f"{program}    print('ready', flush=True); sys.stdin.read()", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        before = {path: path.read_bytes() for path in folder.iterdir()}
        for words in (["--resume", str(folder), "--iterations", "2"], flags(root, folder, "--overwrite")):
            message = error_of(lambda words=words: train.command_line(words), capsys)  # type: ignore[misc]
            assert message.startswith(f"error: {folder} is in use: process {other.pid} on ")
        assert {path: path.read_bytes() for path in folder.iterdir()} == before
        other.kill()
    train.command_line(["--resume", str(folder), "--iterations", "2"])
    assert read_checkpoint(folder / "last.pth")["step"] == 2


def test_auto_starts_a_run_or_goes_on_with_it(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = flags(root, tmp_path / "run", "--resume", "auto")
    train.command_line(words)
    train.command_line([*words, "--iterations", "3"])
    assert read_checkpoint(tmp_path / "run" / "last.pth")["step"] == 3
    assert "resumed with another setting: iterations 2 -> 3" in caplog.text
