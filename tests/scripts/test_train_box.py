"""The script that trains the network in the box: its two runs are valid, and those of the model card."""

import os
import subprocess
from pathlib import Path

from model.box import WEIGHTS
from tests.support.paths import ROOT
from util.config.plan import plan_run

SCRIPT = ROOT / "scripts" / "train_box.sh"


def test_its_runs_are_those_of_the_model_card(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$*" >> "$CALLS"\n')
    python.chmod(0o755)
    calls = tmp_path / "calls"
    words = ["bash", str(SCRIPT), "davis", "bsds", str(tmp_path / "out"), "--device", "cpu"]
    subprocess.run(words, check=True, env=os.environ | {"PYTHON": str(python), "CALLS": str(calls)})
    *runs, export = [line.split() for line in calls.read_text().splitlines()]
    first, second = (plan_run(words[1:], "train.py", "").stages[0] for words in runs)
    rows = [line for line in WEIGHTS.with_name("MODEL_CARD.md").read_text().splitlines() if " run | " in line]
    for run, row in zip((first, second), rows, strict=True):
        assert run.device == "cpu" and (run.model, run.size) == ("xmem", "small")
        assert f"| {run.iterations:,} | {run.augment.crop_size} | {run.clip.frames}" in row
    assert str(second.checkpoint) == f"{first.output}/last.pth"
    assert export[1:] == [f"{second.output}/last.pth", f"{tmp_path / 'out'}/xmem-small.pth", "--half"]


def test_without_places_it_says_what_it_wants() -> None:
    done = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "scripts/train_box.sh DAVIS BSDS OUTPUT" in done.stderr
