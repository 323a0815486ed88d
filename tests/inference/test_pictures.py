"""The picture of a clip in training."""

import numpy as np
import pytest
import torch

from dataset.clip import Clip, ClipBatch, collate
from inference.pictures import clip_picture
from util.files.palette import overlay


def batch_of(frames: int, side: int = 32) -> ClipBatch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(frames, side, side, dtype=torch.uint8)
    labels[:, 4:20, 4:20] = 1
    clip = Clip(
        images_T3HW=torch.randint(0, 256, (frames, 3, side, side), generator=generator, dtype=torch.uint8),
        labels_THW=labels,
        objects=1,
        matrices_T33=torch.eye(3).expand(frames, 3, 3),
        warped_T=torch.zeros(frames, dtype=torch.bool),
        seed=0,
        name="x",
    )
    return collate([clip, clip])


def test_frame_prediction_and_truth_stand_side_by_side() -> None:
    batch = batch_of(3)
    logits = torch.zeros(2, 2, 2, 32, 32)
    logits[1, :, 1, :, 16:] = 1.0  # the right half
    picture = clip_picture(batch, logits, clip=1)
    assert picture.shape == (2 * 32 + 4, 3 * 32 + 2 * 4, 3) and picture.dtype == np.uint8
    rgb = batch.images_BT3HW[1, 2].permute(1, 2, 0).numpy()
    half = np.zeros((32, 32), np.uint8)
    half[:, 16:] = 1
    bottom = picture[36:]
    assert np.array_equal(bottom[:, :32], rgb)
    assert np.array_equal(bottom[:, 36:68], overlay(rgb, half))
    assert np.array_equal(bottom[:, 72:], overlay(rgb, batch.labels_BTHW[1, 2].numpy()))
    assert (picture[32:36] == 255).all()


def test_long_and_large_clips_are_cut_down() -> None:
    picture = clip_picture(batch_of(8, 320), torch.zeros(2, 7, 2, 320, 320))
    assert picture.shape == (4 * 256 + 3 * 4, 3 * 256 + 2 * 4, 3)


def test_foreign_logits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits \[2, 3, 2, 32, 32\] do not belong to a batch with labels"):
        clip_picture(batch_of(3), torch.zeros(2, 3, 2, 32, 32))
