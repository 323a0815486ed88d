"""Videos to train on as they lie on disk."""

from pathlib import Path

import numpy as np
import pytest

from dataset.train.stored import open_training_video
from tests.support.toy_datasets import HEIGHT, WIDTH, add_video, toy_ids


def test_frames_and_masks_by_number(tmp_path: Path) -> None:
    add_video(tmp_path / "frames/bear", tmp_path / "masks/bear", 3)
    video = open_training_video(tmp_path / "frames/bear", tmp_path / "masks/bear")
    assert video.name == "bear" and video.frames == ("00000.jpg", "00001.jpg", "00002.jpg")
    assert video.read_frame(1, 1).shape == (HEIGHT, WIDTH, 3)
    assert video.read_frame(1, 4).shape == (HEIGHT // 4, WIDTH // 4, 3)
    np.testing.assert_array_equal(video.read_mask(2), toy_ids())
    assert video.mask_place(2) == str(tmp_path / "masks/bear/00002.png")


def test_frames_without_mask_are_refused_or_left_out(tmp_path: Path) -> None:
    add_video(tmp_path / "frames/bear", tmp_path / "masks/bear", 4, masked=(1, 3))
    with pytest.raises(FileNotFoundError, match=r"00000.jpg has no mask: expected .*bear/00000.png"):
        open_training_video(tmp_path / "frames/bear", tmp_path / "masks/bear")
    video = open_training_video(tmp_path / "frames/bear", tmp_path / "masks/bear", partly=True)
    assert video.frames == ("00001.jpg", "00003.jpg") and video.masks == ("00001.png", "00003.png")
