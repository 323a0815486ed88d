"""Small training runs, their command lines, and what they leave behind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.paths import ROOT
from util.config.augmentations import augmentation
from util.config.data import Augmentation, ClipConfig
from util.config.presets import preset
from util.config.train import TrainConfig

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
TWOFRAME = ("bmvos", "emvos")


def video_clip(**changes: object) -> ClipConfig:
    """XMem's clips of videos, with changes."""
    return replace(preset("xmem").clip, plain_end=0, **changes)  # type: ignore[arg-type]


def video_augmentation(**changes: object) -> Augmentation:
    """The published augmentation of videos, with changes."""
    return replace(augmentation("2"), **changes)  # type: ignore[arg-type]


def small_run(root: Path, **changes: object) -> TrainConfig:
    """A tiny XMem on the videos in `root`, with changes."""
    run = preset("xmem", "tiny")
    data = replace(run.data, dataset=(), user_roots=(root,), num_workers=0)
    augment = replace(run.augment, crop_size=32, crop_scale=(0.5, 1.0))
    return replace(run, data=data, augment=augment, batch_size=2, device="cpu", **changes)  # type: ignore[arg-type]


def flags(root: Path, output: Path, *more: str) -> list[str]:
    """The words of a run of two steps."""
    words = f"--size tiny --dataset davis --davis_root {root} --output {output} --device cpu --seed 1"
    return [*words.split(), *"--batch_size 2 --crop_size 32 --crop_scale 0.5 1 --iterations 2".split(), *more]


def lines(folder: Path) -> list[dict[str, float]]:
    """What a run logged."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def error_of(call: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a program that ends with status 2."""
    with pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Compare nested states bit for bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}.{index}")
    else:
        assert a == b, where


def torchrun(ranks: int, case: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Start a case of `ddp_worker.py` on so many ranks."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    return subprocess.run(
        [*command, str(ROOT / "tests" / "support" / "ddp_worker.py"), case, str(folder)],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, "the run ended before its time"
        time.sleep(0.02)
