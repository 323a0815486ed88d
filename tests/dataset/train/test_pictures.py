"""Training clips from static pictures: layouts, masks, weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.clip import ClipRequest
from dataset.train.pictures import find_static, read_static_mask
from tests.support.runs import video_clip
from util.config.data import Augmentation

CLIP = video_clip(frames=3, max_objects=2)
SMALL = Augmentation(crop_size=32, crop_scale=(0.9, 1.0), crop_ratio=1.0, degrees=0.0, shear=0.0)


def request(video: int = 0, seed: int = 0) -> ClipRequest:
    return ClipRequest(source=0, video=video, max_gap=5, seed=seed)


def write_picture(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path.with_suffix(".jpg"))
    Image.fromarray(mask).save(path.with_suffix(".png"))


def test_static_layouts_masks_and_weights(tmp_path: Path) -> None:
    soft = np.zeros((40, 50), np.uint8)
    soft[8:32, 10:40], soft[7, 10:40], soft[6, 10:40], soft[5, 10:40] = 255, 200, 90, 20
    regions = np.ones((40, 50), np.uint8)
    regions[:, 20:35], regions[:, 35:] = 2, 3
    for place, mask in (("BIG_small/x", soft), ("fss/ab/1", soft), ("fss/cd/1", soft), ("maps/y", regions)):
        write_picture(tmp_path / place, mask)
    sources = {source.name: source for source in find_static(tmp_path)}
    assert {name: (len(s), s.weight) for name, s in sources.items()} == {
        "BIG_small": (1, 5),
        "fss": (2, 1),
        "maps": (1, 1),
    }
    assert read_static_mask(tmp_path / "BIG_small/x.png").sum() == 25 * 30
    assert len(find_static(tmp_path / "maps")) == 1
    wanted = replace(SMALL, zoom=(1.0, 1.0), frame_scale=(1.0, 1.0), spline=1.0)
    clip = sources["fss"].load(request(1), CLIP, wanted)
    assert clip.images_T3HW.shape == (3, 3, 32, 32) and clip.objects == 1 and clip.warped_T.all()
    assert {s.name: s.weight for s in find_static(tmp_path, weight=2)} == {"BIG_small": 10, "fss": 2, "maps": 2}
    shares = {sources["maps"].load(request(seed=s), CLIP, SMALL).labels_THW.float().mean().item() for s in range(12)}
    assert len(shares) > 2  # different regions


def test_a_folder_of_many_classes_is_one_set(tmp_path: Path) -> None:
    for number in range(21):
        write_picture(tmp_path / "fss" / f"class{number}" / "1", np.full((8, 8), 255, np.uint8))
    assert [(source.name, len(source)) for source in find_static(tmp_path / "fss")] == [("fss", 21)]


def test_static_errors_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist. Expected sets of x.jpg with x.png"):
        find_static(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no x.jpg, neither flat nor in folders"):
        find_static(tmp_path)
    write_picture(tmp_path / "a", np.zeros((40, 50), np.uint8))
    (source,) = find_static(tmp_path)
    with pytest.raises(ValueError, match="no picture has an object"):
        source.load(request(), CLIP, SMALL)
    (tmp_path / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match="a.jpg has no mask: expected .*a.png"):
        find_static(tmp_path)
