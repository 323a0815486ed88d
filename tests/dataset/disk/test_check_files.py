"""Readers of files that may be anything."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.disk.check_files import examples, read_all, read_ids, read_size, wrong_sizes
from util.files.palette import write_mask


def test_sizes_and_ids(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", np.array([[0, 7, 7]], np.uint8))
    assert read_ids(tmp_path / "a.png") == ((1, 3), [7])
    assert read_ids(tmp_path / "a.png", quick=True) == ((1, 3), [])
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "b.png")
    assert read_size(tmp_path / "b.png") == (4, 5)
    with pytest.raises(ValueError, match="mode RGB"):
        read_ids(tmp_path / "b.png", quick=True)
    (tmp_path / "c.png").write_text("no image")
    with pytest.raises(ValueError, match="c.png is not an image. Copy or download it again"):
        read_size(tmp_path / "c.png")


def test_what_can_not_be_read_is_a_problem(tmp_path: Path) -> None:
    problems: list[str] = []
    (tmp_path / "c.png").write_text("no image")
    assert read_all({"c": tmp_path / "c.png"}, read_size, problems) == {}
    assert len(problems) == 1 and "c.png is not an image" in problems[0]


def test_sizes_that_differ() -> None:
    paths = {name: Path("masks") / f"{name}.png" for name in ("a", "b", "000/a")}
    assert wrong_sizes({"a": (1, 2)}, {"a": (1, 2), "000/a": (1, 2), "b": (9, 9)}, paths) == []
    (problem,) = wrong_sizes({"a": (1, 2)}, {"a": (1, 2), "000/a": (3, 4)}, paths)
    assert "(000/a; 000/a: mask 4x3, frame 2x1)" in problem


def test_examples_are_few() -> None:
    assert examples("abc") == "a, b, c" and examples("abcdefg") == "a, b, c, d, e, ..."
