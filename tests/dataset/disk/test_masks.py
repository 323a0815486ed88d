"""Masks of other forms than PNGs of ids: void, a PNG for each object, run lengths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths

from dataset.disk.frames import FolderFrames
from dataset.disk.masks import (
    ObjectMasks,
    RunLengthMasks,
    VoidMask,
    encode,
    flatten,
    match_masks,
    match_object_masks,
    object_folders,
    some,
)
from tests.support.toy_datasets import add_video
from util.files.palette import write_mask

WHOLE = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]], bool)
PART = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
JOINED = np.array([[2, 2, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]])


def test_the_smaller_object_lies_on_top() -> None:
    np.testing.assert_array_equal(flatten({1: WHOLE, 2: PART}, (3, 4)), JOINED)
    np.testing.assert_array_equal(flatten({2: PART, 1: WHOLE}, (3, 4)), JOINED)
    assert flatten({}, (3, 4)).shape == (3, 4) and flatten({300: PART}, (3, 4)).dtype == np.uint16


def test_what_is_not_annotated_is_background(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", np.array([[0, 1, 255], [255, 2, 2]], np.uint8))
    mask = VoidMask(tmp_path / "a.png")
    np.testing.assert_array_equal(mask.read(), [[0, 1, 0], [0, 2, 2]])
    assert str(mask) == str(tmp_path / "a.png")


def test_a_png_for_each_object(tmp_path: Path) -> None:
    Image.fromarray(WHOLE).save(tmp_path / "0.png")  # one bit
    Image.fromarray(PART.astype(np.uint8) * 255).save(tmp_path / "1.png")
    mask = ObjectMasks({1: tmp_path / "0.png", 2: tmp_path / "1.png"})
    np.testing.assert_array_equal(mask.read(), JOINED)
    Image.fromarray(PART[:2]).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"masks .*0.png and 1 more differ in size: 4x2, 4x3"):
        mask.read()


def test_run_lengths() -> None:
    encoded = {number: encode(mask) for number, mask in ((1, WHOLE), (2, PART))}
    for number, mask in ((1, WHOLE), (2, PART)):
        np.testing.assert_array_equal(run_lengths.decode({"size": [3, 4], "counts": encoded[number]}), mask)
    np.testing.assert_array_equal(RunLengthMasks("here", (3, 4), encoded).read(), JOINED)
    with pytest.raises(ValueError, match="here: run lengths cannot be decoded"):
        RunLengthMasks("here", (2, 2), encoded).read()


def test_masks_belong_to_frames(tmp_path: Path) -> None:
    add_video(tmp_path / "frames", tmp_path / "masks" / "000", 4, masked=(0, 2))
    source = FolderFrames(tmp_path / "frames")
    assert list(match_masks(source, tmp_path / "masks/000")) == ["00000", "00002"]
    (tmp_path / "masks/001").mkdir()
    (tmp_path / "masks/000/00002.png").rename(tmp_path / "masks/001/00002.png")
    found = match_object_masks(source, tmp_path / "masks")
    assert {name: [*mask.files] for name, mask in found.items()} == {"00000": [1], "00002": [2]}
    (tmp_path / "masks/001/00002.png").rename(tmp_path / "masks/001/7.png")
    with pytest.raises(ValueError, match=r"1 masks in .*001 match no frame of .*frames: 7.png"):
        match_object_masks(source, tmp_path / "masks")


def test_folders_of_objects_are_numbered(tmp_path: Path) -> None:
    for name in ("000", "001", "012"):
        (tmp_path / name).mkdir()
    assert object_folders(tmp_path) == {"000": 1, "001": 2, "012": 13}
    with pytest.raises(FileNotFoundError, match="nowhere do not exist: expected a folder for each object"):
        object_folders(tmp_path / "nowhere")


def test_some_names() -> None:
    assert some(["a", "b"]) == "a, b" and some([*"abcdefg"]) == "a, b, c, d, e and 2 more"
