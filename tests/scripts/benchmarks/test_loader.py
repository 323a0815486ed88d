"""The loader's benchmark: it runs, and its parts are parts of the whole."""

import re
from pathlib import Path

import pytest

from dataset.train.videos import find_videos
from scripts.benchmarks.loader import PARTS, Config, main, measure
from tests.support.toy_videos import write_davis


def test_parts_and_comparisons_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_davis(tmp_path, {"a": 8, "b": 8}) / "trainval"
    config = Config(root=root, clips=2, crop_size=32)
    row = measure(find_videos("toy", root, frames=8), 3, config)
    parts = [row[f"  {name}"] for name in PARTS]
    assert min(parts) > 0 and sum(parts) < 2 * row["ours"]  # measured in another run of the same clip
    assert row["separate PIL operations"] > row["PIL decoding alone"] > 0
    main(config)
    shown = capsys.readouterr().out
    assert "2 videos of 64x48 to 32x32, one process, one core" in shown and "gain over separate PIL" in shown


def test_the_cost_of_correspondence_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_davis(tmp_path, {"a": 8, "b": 8}) / "trainval"
    main(Config(root=root, clips=2, crop_size=32, correspondence=True))
    shown = capsys.readouterr().out
    assert "ms for a clip without and with correspondence losses (--ocl_objects manual)" in shown
    without, paired = re.findall(r"^8-frame clips: ([0-9.]+) and ([0-9.]+), [+-][0-9.]+ %$", shown, re.MULTILINE)[0]
    assert float(without) > 0 and float(paired) > 0 and "\n3-frame clips: " in shown
    assert "separate PIL" not in shown
