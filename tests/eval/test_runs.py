"""Runs that follow one another, or come at the same time, in one output folder."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.eval_runs import TINY, evaluate, masks, refused, segment, times
from tests.support.films import shown_times, write_film
from tests.support.paths import ROOT
from tests.support.toy_videos import write_video
from util.files.lock import process_lock


@pytest.mark.parametrize("left", [0, 100])
def test_truncated_masks_are_made_again(left: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment()
    whole, before = masks(folder / "out"), times(folder / "out")
    damaged = folder / "out" / "camel" / "00002.png"
    damaged.write_bytes(damaged.read_bytes()[:left])
    segment()
    assert "1 of 2 videos are finished" in capsys.readouterr().err
    assert all((masks(folder / "out")[name] == mask).all() for name, mask in whole.items())
    assert times(folder / "out")["bear00000.png"] == before["bear00000.png"]


def test_what_a_killed_run_left_is_removed(folder: Path) -> None:
    segment()
    for name in (".camel.12345-0123abcd.tmp", ".note.tmp"):
        (folder / "out" / name).mkdir()
        (folder / "out" / name / "00000.png").touch()
    segment("--overwrite")
    assert sorted(path.name for path in (folder / "out").iterdir()) == [".corrvos", ".note.tmp", "bear", "camel"]


def test_two_runs_in_one_folder_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment()
    with process_lock(folder / "out" / ".corrvos" / "run.lock", "process 7 on a machine, since noon,"):
        words = ["--dataset", "d17", "--root", "davis", *TINY, "--output", "out", "--overwrite"]
        line = refused_in_another_process(words, folder)
        assert "is in use: process 7 on a machine, since noon, segments there. Wait for it" in line
    evaluate(*words)
    assert capsys.readouterr().out


def refused_in_another_process(words: list[str], folder: Path) -> str:
    """A process may lock twice what it has locked: the second run is a process of its own."""
    done = subprocess.run(
        [sys.executable, ROOT / "eval.py", *words], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("times_ms", [[0, 40, 500, 510, 900], [0, 100, 200, 300, 400]])
def test_an_overlay_plays_as_its_source_does(times_ms: list[int], folder: Path) -> None:
    write_film(folder / "clip.mkv", 5, times=times_ms)
    write_video(folder / "frames", folder / "masks", length=1)
    evaluate("--video", "clip.mkv", "--mask", "masks/00000.png", *TINY, "--overlay", "--output", "out")
    assert shown_times(folder / "out" / "clip.mp4") == pytest.approx([ms / 1000 for ms in times_ms], abs=2e-3)


def test_films_that_end_early(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(folder / "clip.mkv", 12)
    content = (folder / "clip.mkv").read_bytes()
    (folder / "clip.mkv").write_bytes(content[: len(content) // 3])
    write_video(folder / "frames", folder / "masks", length=1)
    words = ["--video", "clip.mkv", "--mask", "masks/00000.png", *TINY, "--output", "out"]
    line = refused(capsys, *words)
    assert line.startswith("video clip.mkv ends early: its header tells of 12 frames, the file holds ")
    assert line.endswith("or take what is there: --allow_truncated.") and not (folder / "out").exists()
    evaluate(*words, "--allow_truncated")
    assert 0 < len(masks(folder / "out")) < 12
    assert "ends early: its header tells of 12 frames" in capsys.readouterr().err


def test_a_mask_of_the_unturned_size_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(folder / "upright", folder / "masks", length=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "clip").mkdir()
    with Image.open(folder / "upright" / "00000.png") as image:
        image.save(folder / "clip" / "00000.jpg", exif=exif)
    line = refused(capsys, "--video", "clip", "--mask", "masks/00000.png", *TINY, "--output", "out")
    assert "mask masks/00000.png has 64x48 pixels, its frame in clip 48x64. The frame is shown turned, as its" in line
    with Image.open(folder / "masks" / "00000.png") as mask:
        mask.transpose(Image.Transpose.ROTATE_270).save(folder / "turned.png")
    evaluate("--video", "clip", "--mask", "turned.png", *TINY, "--output", "out")
    assert masks(folder / "out")["clip/00000.png"].shape == (64, 48)
