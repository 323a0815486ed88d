import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.disk.frames import open_frames
from dataset.evaluate.video import Video
from inference.output.submission import Layout, write_submission
from util.files.palette import write_mask

HEIGHT, WIDTH = 10, 14


def make_video(root: Path, name: str, wanted: list[str] | None = None) -> Video:
    folder = root / "frames" / name
    folder.mkdir(parents=True)
    for index in range(4):
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / f"{index:05d}.jpg")
    return Video(name, open_frames(folder), {"00000": root / "given.png"}, wanted=wanted)


def write_results(root: Path, video: Video) -> None:
    for index, name in enumerate(video.frame_names):
        write_mask(root / "results" / video.name / f"{name}.png", np.full((HEIGHT, WIDTH), index))


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    made = [make_video(tmp_path, "zebra", ["00001", "00003"]), make_video(tmp_path, "ant")]
    for video in made:
        write_results(tmp_path, video)
    return made


@pytest.mark.parametrize(("layout", "prefix"), [("davis", ""), ("youtube", "Annotations/")])
def test_wanted_frames_in_the_servers_layout(tmp_path: Path, videos: list[Video], layout: Layout, prefix: str) -> None:
    archive = write_submission(tmp_path / "results", tmp_path / "out" / "a.zip", videos, layout)
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        assert file.namelist() == [
            *(f"{prefix}ant/{index:05d}.png" for index in range(4)),
            f"{prefix}zebra/00001.png",
            f"{prefix}zebra/00003.png",
        ]
        stored = tmp_path / "results" / "zebra" / "00003.png"
        assert file.read(f"{prefix}zebra/00003.png") == stored.read_bytes()


def test_equal_results_make_equal_archives(tmp_path: Path, videos: list[Video]) -> None:
    first = write_submission(tmp_path / "results", tmp_path / "a.zip", videos, "davis").read_bytes()
    for video in videos:
        write_results(tmp_path, video)
    again = write_submission(tmp_path / "results", tmp_path / "b.zip", videos[::-1], "davis").read_bytes()
    assert first == again


def test_all_problems_are_named(tmp_path: Path, videos: list[Video]) -> None:
    videos = [*videos, make_video(tmp_path, "lost")]
    results = tmp_path / "results"
    (results / "zebra" / "00001.png").unlink()
    (results / "zebra" / "00003.png").unlink()
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(results / "ant" / "00000.png")
    write_mask(results / "ant" / "00001.png", np.zeros((5, 6), int))
    content = (results / "ant" / "00002.png").read_bytes()
    (results / "ant" / "00002.png").write_bytes(content[:-20])
    write_mask(results / "ant" / "00003.png", np.full((HEIGHT, WIDTH), 300))
    with Image.open(results / "ant" / "00003.png") as deep:
        mode = deep.mode  # of 16 bits: I;16, I in older versions of Pillow
    with pytest.raises(ValueError) as caught:
        write_submission(results, tmp_path / "a.zip", videos, "davis")
    assert str(caught.value) == (
        f"{results} is no complete submission: zebra: frames are missing: 00001, 00003; "
        "ant: no palette (mode L): 00000; ant: 6x5 pixels instead of 14x10: 00001; "
        f"ant: no image or damaged: 00002; ant: no palette (mode {mode}): 00003; lost: no results. "
        "Segment these videos again and pack then."
    )
    assert not (tmp_path / "a.zip").exists()


def test_missing_results(tmp_path: Path, videos: list[Video]) -> None:
    with pytest.raises(FileNotFoundError, match="none do not exist: segment the data set first"):
        write_submission(tmp_path / "none", tmp_path / "a.zip", videos, "davis")
