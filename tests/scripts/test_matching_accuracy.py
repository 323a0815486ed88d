"""The program that measures matching accuracy: its table, its file, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dataset.evaluate.annotated import open_annotated
from dataset.evaluate.protocols import find_evaluation_set
from inference.matches.accuracy import Accuracy, MatchReport, make_match_report, measure_videos
from model.weights import load_checkpoint
from scripts.matching_accuracy import AccuracyConfig, format_table, main
from tests.support.paths import ROOT
from tests.support.toy_videos import toy_checkpoint, toy_model, write_davis
from util.files.checkpoint import save_checkpoint


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Return a function that makes a configuration for two networks and two short videos."""
    write_davis(tmp_path / "davis", {"ape": 4, "bee": 5})
    toy_checkpoint(tmp_path / "a.pth")
    stcn = {"format": "corrvos", "version": 1, "network": toy_model("stcn").state_dict(), "step": 0, "stage": "2"}
    save_checkpoint(tmp_path / "b.pth", stcn)
    common = {"root": tmp_path / "davis", "size": 48, "gaps": (1, 4), "output": tmp_path / "m.json", "device": "cpu"}

    def make(**settings: Any) -> AccuracyConfig:
        return AccuracyConfig(**{"checkpoint": (tmp_path / "a.pth", tmp_path / "b.pth"), **common, **settings})

    return make


def test_the_file_holds_what_was_measured(config: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = config()
    main(made)
    content = json.loads(made.output.read_text())
    assert {name: content[name] for name in ("dataset", "size", "pairs")} == {
        "dataset": "d17 val",
        "size": 48,
        "pairs": 8,
    }
    videos = open_annotated(find_evaluation_set("d17", root=made.root))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["network", "objects@1", "background@1", "objects@4", "background@4"]
    for line, checkpoint in zip(shown[2:], made.checkpoint, strict=True):
        model, device = load_checkpoint(checkpoint), torch.device("cpu")
        report = make_match_report(dict(measure_videos(model, videos, gaps=(1, 4), size=48, device=device)))
        network = content["networks"][str(checkpoint)]
        assert network["mean"]["4"]["foreground"] == report.mean[4].foreground
        assert network["videos"]["ape"]["1"]["background"] == report.videos["ape"][1].background
        assert network["videos"]["ape"]["4"] == {"foreground": None, "background": None}, "too short"
        assert network["seconds"] > 0
        shares = [share for mean in report.mean.values() for share in (mean.foreground, mean.background)]
        assert line.split() == [str(checkpoint), *("-" if x is None else f"{100 * x:.1f}" for x in shares)]


def test_the_table_by_hand() -> None:
    report = MatchReport(
        mean={1: Accuracy(foreground=0.8, background=1.0), 20: Accuracy(foreground=0.6451, background=None)}, videos={}
    )
    assert format_table({"a.pth": report}).splitlines() == [
        "network  objects@1  background@1  objects@20  background@20",
        "-----------------------------------------------------------",
        "a.pth         80.0         100.0        64.5              -",
    ]


def test_wrong_wishes_are_refused(config: Any) -> None:
    for settings, message in (
        ({"gaps": (1, 9)}, "--gaps 9: no video of d17 val has two annotated frames so far apart, the longest has 5"),
        ({"pairs": 0}, "--pairs 0: expected at least 1"),
        ({"dataset": "x"}, "unknown data set 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            main(config(**settings))
    with pytest.raises(FileNotFoundError, match="checkpoint none.pth does not exist"):
        main(config(checkpoint=(Path("none.pth"),)))
    assert not config().output.exists()


def test_command_line(config: Any, tmp_path: Path) -> None:
    made = config()
    command = [
        sys.executable,
        str(ROOT / "scripts" / "matching_accuracy.py"),
        "--checkpoint",
        *map(str, made.checkpoint),
    ]
    words = ["--root", str(made.root), "--size", "48", "--gaps", "1", "2", "--device", "cpu"]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 4, done.stderr
    assert "100% (2 of 2)" in done.stderr and (tmp_path / "matching_accuracy.json").is_file()
