"""eval.py --truth: any masks against any ground truth."""

import json
from pathlib import Path

import pytest

from inference.report import read_json
from tests.support.eval_runs import evaluate, refused


def test_any_two_folders(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    truth = "davis/trainval/Annotations/480p"
    evaluate("--score_only", "--truth", truth, "--masks", truth, "--output", "figures")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"truth {truth}: 2 videos, a folder of PNGs for each video"
    assert lines[2].startswith("metric davis: ") and lines[-1].split()[:5] == ["mean", "over", "objects", "4", "100.0"]
    assert read_json("figures/scores.json").mean["J&F"] == 1 and Path("figures/scores.csv").is_file()
    line = refused(capsys, "--score_only", "--truth", truth, "--masks", truth, "--output", truth)
    assert line.startswith(f"the output {truth}/scores.json lies inside the ground truth {truth}: ")
    Path("list.txt").write_text("camel\n")
    before = sorted(folder.rglob("*"))
    words = ["--score_only", "--truth", truth, "--masks", truth, "--sequences", "list.txt", "--metric", "vost"]
    evaluate(*words, "--score_workers", 1)
    assert capsys.readouterr().out.splitlines()[-1].split() == ["mean", "over", "objects", "2", "100.0", "100.0"]
    assert sorted(folder.rglob("*")) == before


def test_youtube_scores_of_seen_and_unseen(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    truth = "davis/trainval/Annotations/480p"
    entry = {"objects": {"1": {"category": "bear"}, "2": {"category": "fish"}}}
    Path("meta.json").write_text(json.dumps({"videos": {"bear": entry, "camel": entry}}))
    Path("seen.txt").write_text("bear\n")
    evaluate("--score_only", "--truth", truth, "--masks", truth, "--meta", "meta.json", "--names", "seen.txt")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("metric youtube: ")
    assert lines[-1].split() == "G 100.0 J-Seen 100.0 J-Unseen 100.0 F-Seen 100.0 F-Unseen 100.0".split()
