"""Videos whose annotated frames are read in any order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.evaluate.annotated import open_annotated
from dataset.evaluate.protocols import find_evaluation_set
from tests.support.benchmarks import ids_of, write_mose, write_vost
from tests.support.toy_videos import write_davis
from util.files.palette import write_mask


def test_frames_and_masks_by_index(tmp_path: Path) -> None:
    root = write_davis(tmp_path, {"bear": 3})
    (video,) = open_annotated(find_evaluation_set("d17", root=root))
    assert video.name == "bear" and list(video.masks) == [0, 1, 2]
    frame = video.read(2)
    truth = np.asarray(Image.open(root / "trainval/Annotations/480p/bear/00002.png"))
    assert frame.name == "00002" and frame.rgb_HW3.shape == (*truth.shape, 3)
    np.testing.assert_array_equal(frame.ids_HW, truth)


def test_void_is_background(tmp_path: Path) -> None:
    (video,) = open_annotated(find_evaluation_set("vost", root=write_vost(tmp_path)))
    np.testing.assert_array_equal(video.read(5).ids_HW, ids_of(5, {1: 0, 2: 4}) * (np.arange(64) < 61))


def test_incomplete_truth_and_other_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mose val has no complete ground truth"):
        open_annotated(find_evaluation_set("mose", root=write_mose(tmp_path / "mose")))
    root = write_davis(tmp_path / "davis", {"bear": 3})
    write_mask(root / "trainval/Annotations/480p/bear/00001.png", np.ones((4, 5), np.uint8))
    (video,) = open_annotated(find_evaluation_set("d17", root=root))
    with pytest.raises(ValueError, match="00001.png has 5x4 pixels, its frame .* 64x48"):
        video.read(1)
