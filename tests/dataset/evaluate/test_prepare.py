"""Videos for BMVOS and EMVOS: bicubic, and at their own size where an object would get too small."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dataset.evaluate.prepare import Resizing, prepare_image
from dataset.evaluate.video import Video, open_video
from inference.propagate import build_variants, propagate
from model import build_model
from tests.support.toy_videos import toy_model
from util.files.palette import write_mask

REFERENCE = Resizing(bicubic=True, native_below=1000)


def write(folder: Path, *squares: dict[int, int], height: int = 96, width: int = 128) -> Video:
    """Write a video; each frame's mask shows squares of these sides by their ids."""
    (folder / "frames").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number, sides in enumerate(squares):
        rgb = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(folder / "frames" / f"{number:05d}.png")
        mask = np.zeros((height, width), np.uint8)
        for i, side in sides.items():
            mask[:side, 40 * i : 40 * i + side] = i
        if sides:
            write_mask(folder / "masks" / f"{number:05d}.png", mask)
    return open_video(folder / "frames", folder / "masks")


def sizes(video: Video, size: int, resizing: Resizing | None) -> list[tuple[int, ...]]:
    frames = list(video.frames(size, resizing))
    assert all(frame.mask is None or frame.mask.shape == frame.image.shape[1:] for frame in frames)
    return [tuple(frame.image.shape[1:]) for frame in frames]


def test_the_limit_by_hand() -> None:
    assert REFERENCE.is_too_small(999, 480) and not REFERENCE.is_too_small(1000, 480)
    assert REFERENCE.is_too_small(249, 240) and not REFERENCE.is_too_small(250, 240)
    assert not Resizing().is_too_small(0, 480)


def test_small_objects_keep_the_own_size(tmp_path: Path) -> None:
    # At a shorter side of 48, half the size, the limit is 10 pixels: a square of 6 becomes one of 3, with 9.
    small = write(tmp_path / "small", {1: 30, 2: 6}, {})
    assert sizes(small, 48, REFERENCE) == [(96, 128)] * 2
    assert sizes(small, 48, None) == sizes(small, 48, Resizing(bicubic=True)) == [(48, 64)] * 2
    assert sizes(small, -1, REFERENCE) == [(96, 128)] * 2
    assert sizes(small, 192, REFERENCE) == [(192, 256)] * 2  # enlarged: its own size would show less
    large = write(tmp_path / "large", {1: 30, 2: 8}, {})
    assert sizes(large, 48, REFERENCE) == [(48, 64)] * 2


def test_the_first_mask_of_an_object_counts(tmp_path: Path) -> None:
    assert sizes(write(tmp_path / "late", {1: 30}, {2: 6}), 48, REFERENCE) == [(96, 128)] * 2
    assert sizes(write(tmp_path / "shrinks", {1: 30}, {1: 6}), 48, REFERENCE) == [(48, 64)] * 2


def test_bicubic_and_area() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for bicubic, kind in ((True, cv2.INTER_CUBIC), (False, cv2.INTER_AREA)):
        small = cv2.resize(rgb, (40, 30), interpolation=kind)
        assert torch.equal(prepare_image(rgb, 30, bicubic), prepare_image(small, -1))


@pytest.mark.parametrize(("name", "expected"), [("bmvos", (96, 128)), ("emvos", (96, 128)), ("xmem", (48, 64))])
def test_networks_get_what_they_want(
    name: str, expected: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write(tmp_path / "video", {1: 30, 2: 6}, {})
    model = toy_model() if name == "xmem" else build_model(name, "tiny").eval()
    frames = list(propagate(build_variants(model, (48,)), video))
    assert [frame.id_mask.shape for frame in frames] == [(96, 128)] * 2
    shown: list[tuple[int, ...]] = []
    views = build_variants(model, (48,))
    real = views[0].segmenter.step

    def step(image: torch.Tensor, *rest: Any) -> torch.Tensor:
        shown.append(tuple(image.shape[1:]))
        return real(image, *rest)

    monkeypatch.setattr(views[0].segmenter, "step", step)
    list(propagate(views, video))
    assert shown == [expected] * 2
