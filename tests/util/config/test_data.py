"""Settings of clips and augmentations out of their ranges."""

import numpy as np
import pytest

from tests.support.runs import video_augmentation, video_clip

GREY = np.array([1.0, 1, 0, 0])
STILL = video_augmentation(
    crop_size=64, crop_scale=(1.0, 1.0), crop_ratio=1.0, flip=0.0, grey=0.0, degrees=0.0, shear=0.0,
    clip_jitter=(0.0, 0.0, 0.0, 0.0), frame_jitter=(0.0, 0.0, 0.0, 0.0),
)  # fmt: skip
RICH = video_augmentation(crop_size=64, spline=0.5, zoom=(0.8, 1.5), clip_jitter=(0.1, 0.1, 0.1, 0.05))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="crop_size 100: expected a multiple of 16"):
        video_augmentation(crop_size=100)
    with pytest.raises(ValueError, match="crop_scale 0.5 0.2: expected 0 < smallest <= largest <= 1"):
        video_augmentation(crop_scale=(0.5, 0.2))


@pytest.mark.parametrize("name", ["paste", "vertical_flip"])
def test_values_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 1.5: expected a probability, 0 to 1."):
        video_augmentation(**{name: 1.5})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_object_pixels -1: expected at least 0."):
        video_clip(min_object_pixels=-1)
