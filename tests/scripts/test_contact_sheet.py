import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.report import score_folders, write_json
from scripts.contact_sheet import SheetConfig, _scored_titles, draw_sheet, evenly_spaced
from tests.support.paths import ROOT
from util.files.palette import write_mask

HEIGHT, WIDTH = 40, 60


@pytest.fixture
def config(tmp_path: Path) -> SheetConfig:
    truth, prediction = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    truth[10:30, 10:30], prediction[10:30, 30:50] = 1, 1
    for video, count in (("a", 9), ("b", 2), ("c", 5)):
        (tmp_path / "frames" / video).mkdir(parents=True)
        for index in range(count):
            gray = Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
            gray.save(tmp_path / "frames" / video / f"{index:05d}.png")
            write_mask(tmp_path / "truth" / video / f"{index:05d}.png", truth)
            write_mask(tmp_path / "predictions" / video / f"{index:05d}.png", prediction)
    return SheetConfig(
        frames=tmp_path / "frames",
        truth=tmp_path / "truth",
        predictions=tmp_path / "predictions",
        output=tmp_path / "sheet.png",
        width=WIDTH,
        rows=3,
    )


def test_evenly_spaced_by_hand() -> None:
    names = [str(index) for index in range(9)]
    assert evenly_spaced(names, 3) == ["0", "4", "8"]
    assert evenly_spaced(names, 1) == ["0"]
    assert evenly_spaced(names[:2], 3) == ["0", "1"]


def test_truth_is_beside_prediction(config: SheetConfig) -> None:
    sheet = draw_sheet(replace(config, videos=("b",), rows=1))
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 24 + WIDTH + 6 + WIDTH + 24
    top, left = 24 + 52, 24  # margin and captions
    assert sheet.shape[0] == top + HEIGHT + 24
    shown = sheet[top : top + HEIGHT, left : left + 2 * WIDTH + 6]
    assert (shown[26, 20] != 90).any(), "the truth's object is coloured"
    assert (shown[26, 40] == 90).all()
    assert (shown[26, WIDTH + 6 + 40] == shown[26, 20]).all(), "the prediction's object in the same colour"
    assert (shown[35, WIDTH + 6 + 20] == 90).all()
    assert (sheet[:24] == 255).all() and (sheet[24:top] < 128).any()


def test_videos_fill_bands(config: SheetConfig) -> None:
    two = draw_sheet(replace(config, videos=("a", "b")))
    three = draw_sheet(config)
    assert three.shape[1] == two.shape[1] and three.shape[0] > 1.8 * two.shape[0] - 48
    assert draw_sheet(replace(config, columns=1, videos=("a", "b"))).shape[1] < two.shape[1]


def test_a_frame_without_truth_is_bare(config: SheetConfig) -> None:
    (config.truth / "b" / "00000.png").unlink()
    sheet = draw_sheet(replace(config, videos=("b",), rows=1))
    assert (sheet[24 + 52 + 26, 24 + 20] == 90).all()


def test_folders_that_do_not_fit_are_named(config: SheetConfig) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"predictions .*none do not exist: expected a folder of masks for each"
    ):
        draw_sheet(replace(config, predictions=config.predictions / "none"))
    with pytest.raises(FileNotFoundError, match="folder .*zebra does not exist"):
        draw_sheet(replace(config, videos=("zebra",)))
    for file in (config.predictions / "b").iterdir():
        file.rename(file.with_stem("x" + file.stem))
    with pytest.raises(ValueError, match="no mask in .*b has the name of a frame in .*b: give the folders that belong"):
        draw_sheet(replace(config, videos=("b",)))
    with pytest.raises(ValueError, match="--rows must be at least 1, received 0"):
        draw_sheet(replace(config, rows=0))
    write_mask(config.truth / "c" / "00000.png", np.ones((4, 4), int))
    with pytest.raises(ValueError, match=r"00000.png has shape \(4, 4\), its frame \(40, 60\)"):
        draw_sheet(replace(config, videos=("c",)))


def test_command_line(config: SheetConfig, tmp_path: Path) -> None:
    arguments = [f"--{name}={getattr(config, name)}" for name in ("frames", "truth", "predictions", "output")]
    command = [sys.executable, str(ROOT / "scripts" / "contact_sheet.py"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"contact sheet: {config.output}\n"), done.stderr
    with Image.open(config.output) as image:
        assert image.mode == "RGB" and image.width > 1000


def test_scores_stand_in_the_titles(config: SheetConfig, tmp_path: Path) -> None:
    scores = tmp_path / "scores.json"
    report = score_folders(tmp_path / "truth", tmp_path / "predictions", sequences=["a"])
    write_json(report, scores)
    assert _scored_titles(scores) == {"a": f"a: J&F {100 * report.mean['J&F']:.1f}"}
    plain, titled = draw_sheet(config), draw_sheet(replace(config, scores=scores))
    assert plain.shape == titled.shape and (plain[24:50] != titled[24:50]).any()
    first = slice(24 + 52, 24 + 52 + HEIGHT)
    assert (plain[first] == titled[first]).all()
