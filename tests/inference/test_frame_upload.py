"""Pictures that a device normalises equal those that the reading thread makes."""

import numpy as np
import torch

from dataset.evaluate.prepare import SizedFrame, VideoFrame, prepare_image
from inference.frame_upload import FrameUpload

CPU = torch.device("cpu")
PICTURES = [np.random.default_rng(0).integers(0, 256, (height, 7, 3), np.uint8) for height in (5, 9)]


def test_one_upload_gives_every_size_normalised() -> None:
    found = FrameUpload(CPU).pictures(PICTURES)
    for here, rgb in zip(found, PICTURES, strict=True):
        assert here.dtype == torch.float32
        torch.testing.assert_close(here, prepare_image(rgb, -1), rtol=0, atol=1e-6)


def test_a_cpu_takes_the_images_that_the_reading_thread_made() -> None:
    sized = {size: SizedFrame(picture=rgb, mask=None) for size, rgb in zip((5, 9), PICTURES, strict=True)}
    frame = VideoFrame(name="0", at_size=sized, given=None, object_ids=None, rgb=PICTURES[0], wanted=True, last=False)
    found = FrameUpload(CPU).images(frame)
    assert all(found[size] is sized[size].image for size in (5, 9))
