"""Checks of static pictures, a folder at a time."""

from pathlib import Path

from dataset.disk.check_pictures import PicturesTask, check_pictures, pictures_of
from tests.support.toy_datasets import add_frame, static_set


def test_sound_pictures(tmp_path: Path) -> None:
    static_set(tmp_path, 3)
    found = check_pictures(PicturesTask(part="p", folder=tmp_path, stems=("0", "1", "2")))
    assert (found.frames, found.masks, found.pictured, found.problems) == (3, 3, 3, ())


def test_masks_that_are_missing_or_empty(tmp_path: Path) -> None:
    static_set(tmp_path, 3, ids=())
    (tmp_path / "2.png").unlink()
    problems = check_pictures(PicturesTask(part="p", folder=tmp_path, stems=("0", "1", "2"))).problems
    assert "1 of 3 pictures have no mask beside them (2.jpg)" in problems[0]
    assert "2 masks without an object (0.png, 1.png)" in problems[1]


def test_names(tmp_path: Path) -> None:
    static_set(tmp_path, 1)
    add_frame(tmp_path / "a.jpeg")
    (tmp_path / "0.png").rename(tmp_path / "b.png")
    problems: list[str] = []
    assert pictures_of(tmp_path, problems) == ["0"]
    assert "1 pictures are not named x.jpg (a.jpeg)" in problems[0]
    assert "1 masks x.png without a picture x.jpg (b.png)" in problems[1]
