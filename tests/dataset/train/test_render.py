"""Without correspondence losses the stream of clips is what it was before there were any."""

from pathlib import Path

import numpy as np
from PIL import Image

from dataset.clip import Clip, ClipRequest
from dataset.train.pictures import find_static
from dataset.train.sources import Source
from dataset.train.videos import find_videos
from tests.support.paths import DATA
from tests.support.runs import video_augmentation, video_clip
from tests.support.toy_videos import draw, write_video

# Written by `record` with the code before the correspondence losses (commit 264a6f6).
GOLDEN = DATA / "clip_draws.npz"
AUGMENTATION = video_augmentation(crop_size=32, zoom=(0.8, 1.5), frame_scale=(0.9, 1.1), spline=0.5)


def load_clips(root: Path) -> list[Clip]:
    """Load clips of two videos and two pictures, which it writes below `root`."""
    (root / "static").mkdir()
    for name, length in (("a", 7), ("b", 12)):
        place = root / "JPEGImages" / name, root / "Annotations" / name
        write_video(*place, length, given=tuple(range(length)), seed=length)
    for frame in range(2):
        rgb, mask = draw(4 * frame, (1,), seed=frame)
        Image.fromarray(rgb).save(root / "static" / f"{frame}.jpg")
        Image.fromarray(mask.astype(np.uint8)).save(root / "static" / f"{frame}.png")
    sources: list[Source] = [find_videos("toy", root, frames=3), find_videos("toy", root, frames=6, interval=2)]
    sources.extend(find_static(root / "static"))
    clips = []
    for number, source in enumerate(sources):
        config = video_clip(frames=6 if number == 1 else 3, max_objects=1)
        for seed in range(12):
            request = ClipRequest(source=number, video=seed % len(source), max_gap=5, seed=seed)
            clips.append(source.load(request, config, AUGMENTATION))
    return clips


def summaries(clips: list[Clip]) -> dict[str, np.ndarray]:
    """Return names, geometry, and the mean colour and the object's area of each frame."""
    return {
        "names": np.array([f"{clip.name} after {clip.redraws}" for clip in clips]),
        "matrices": np.concatenate([clip.matrices_T33.numpy() for clip in clips]),
        "warped": np.concatenate([clip.warped_T.numpy() for clip in clips]),
        "colours": np.concatenate([clip.images_T3HW.float().mean((2, 3)).numpy() for clip in clips]),
        "areas": np.concatenate([clip.labels_THW.float().mean((1, 2)).numpy() for clip in clips]),
    }


def record(root: Path) -> None:
    """Write the golden file."""
    np.savez_compressed(GOLDEN, **summaries(load_clips(root)))  # type: ignore[arg-type]


# Colours and areas may differ where libraries round differently, draws may not.
TOLERANCES = {"matrices": 1e-3, "colours": 0.5, "areas": 0.003}


def test_clips_without_the_losses_are_what_they_were(tmp_path: Path) -> None:
    clips = load_clips(tmp_path)
    assert all(clip.compared is None for clip in clips)
    received = summaries(clips)
    with np.load(GOLDEN) as golden:
        assert received["names"].tolist() == golden["names"].tolist()
        assert received["warped"].tolist() == golden["warped"].tolist()
        for name, tolerance in TOLERANCES.items():
            np.testing.assert_allclose(received[name], golden[name], atol=tolerance, err_msg=name)
