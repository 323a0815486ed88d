"""A run's folder: checkpoints that are whole, which ones stay, and what a new run may replace."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.paths import ROOT
from tests.support.runs import ENVIRONMENT, wait_for
from util.config.presets import preset
from util.config.train import TrainConfig
from util.files.checkpoint import read_checkpoint
from util.run import folder as run_folder
from util.run.folder import (
    checkpoints,
    clean_stage,
    open_stage,
    read_newest,
    read_record,
    save_step,
    start_run,
    write_record,
)

OURS = ("best.pth", "last.pth", "config.json", "metrics.jsonl", "step-0000005.pth", "run.json")
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
    left = tmp_path / ".step-0000003.99-0123abcd.tmp.pth"
    left.write_bytes(b"half")
    save_step(tmp_path, {"step": 2}, 2, keep=2)
    clean_stage(tmp_path)
    assert not left.exists() and len(checkpoints(tmp_path)) == 1


def run_in(folder: Path) -> TrainConfig:
    return replace(preset("xmem", "tiny"), output=folder)


def started(folder: Path, overwrite: bool = False) -> None:
    start_run(folder, [run_in(folder)], overwrite)
    open_stage(folder, run_in(folder))
    write_record(folder, [run_in(folder)], {})


@pytest.mark.parametrize("name", [*OURS, "events.out.tfevents.1", "stage0/best.pth"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_without_a_record_nothing_is_replaced(name: str, overwrite: bool, tmp_path: Path) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text('{"by": "somebody else"}')
    with pytest.raises(ValueError, match=f"{tmp_path} holds {name}, but no record of a run .*Choose another --output"):
        started(tmp_path, overwrite)
    assert theirs.read_text() == '{"by": "somebody else"}'
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]


def test_what_does_not_look_like_a_runs_stays_in_either_case(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("notes.txt", ".backup.tmp", ".last.1-0123abcd.tmp.pth", "model.pth")]
    for path in theirs:
        path.write_text("kept")
    started(tmp_path)
    assert all(path.read_text() == "kept" for path in theirs)
    save_step(tmp_path, {"step": 5}, 5, keep=1)
    with pytest.raises(ValueError, match="holds the weights of another run: continue it with --resume"):
        started(tmp_path)
    started(tmp_path, overwrite=True)
    assert [path.exists() for path in theirs] == [True, True, False, True]  # a killed saving's: it is a run's folder
    assert not list(tmp_path.glob("step-*")) and not (tmp_path / "last.pth").exists()


def test_a_run_killed_while_it_starts_can_be_started_again(tmp_path: Path) -> None:
    start_run(tmp_path, [run_in(tmp_path)], False)
    open_stage(tmp_path, run_in(tmp_path))
    started(tmp_path)
    assert read_record(tmp_path) == [run_in(tmp_path)]


def test_a_replaced_run_loses_its_other_stages_too(tmp_path: Path) -> None:
    stages = [replace(preset("xmem", "tiny", stage), output=tmp_path / f"stage{stage}") for stage in "03"]
    start_run(tmp_path, stages, False)
    for stage in stages:
        open_stage(stage.folder(), stage)
        save_step(stage.folder(), {"step": 1}, 1, keep=1)
    start_run(tmp_path, stages[:1], True)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["run.json"]


def test_cleaning_takes_what_killed_savings_and_validations_left(tmp_path: Path) -> None:
    left = [".last.12-0123abcd.tmp.pth", ".step-0000003.1-00000000.tmp.pth", ".config.7-ffffffff.tmp.json"]
    kept = [".last.tmp.pth", ".mine.12-0123abcd.tmp.pth", "last.pth", ".x.tmp"]
    for name in left + kept:
        (tmp_path / name).touch()
    validation = tmp_path / ".validation.12-0123abcd.tmp" / "dog"
    validation.mkdir(parents=True)
    (validation / "00000.png").touch()
    clean_stage(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
