"""Frames of programs, and stretches of sources."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset.disk.arrays import ArrayFrames, StreamFrames, Stretch, to_rgb
from dataset.disk.frames import open_frames
from tests.support.toy_videos import draw, write_video

FRAMES = [draw(number, (1, 2))[0] for number in range(6)]


def test_every_byte_comes_back_from_floats() -> None:
    rgb = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    floats = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    for frame in (rgb, torch.from_numpy(rgb), floats, floats.double(), floats.numpy()):
        np.testing.assert_array_equal(to_rgb(frame, 0), rgb)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((4, 5), np.uint8), r"frame 7: expected .*, received uint8 \[4, 5\]"),
        (np.zeros((4, 5, 4), np.uint8), r"received uint8 \[4, 5, 4\]"),
        (np.zeros((3, 4, 5), np.uint8), r"received uint8 \[3, 4, 5\]"),
        (torch.zeros(4, 5, 3), r"received float32 \[4, 5, 3\]"),
        (torch.full((3, 4, 5), -0.1), r"expected floats in 0..1, received -0.1..-0.1; give RGB before normalisation"),
        (torch.full((3, 4, 5), torch.nan), r"expected floats in 0..1, received nan..nan"),
    ],
)
def test_unfit_frames(frame: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_rgb(frame, 7)


@pytest.mark.parametrize("kind", ["folder", "list"])
@pytest.mark.parametrize(("start", "stop", "reverse"), [(0, None, False), (2, 5, False), (0, 4, True), (3, None, True)])
def test_a_stretch_is_a_slice(tmp_path: Path, kind: str, start: int, stop: int | None, reverse: bool) -> None:
    write_video(tmp_path / "frames", tmp_path / "masks", length=6)
    source = open_frames(tmp_path / "frames") if kind == "folder" else ArrayFrames(FRAMES)
    stretch = Stretch(source, start, stop, reverse)
    numbers = list(range(6))[start:stop][:: -1 if reverse else 1]
    read = list(stretch.read())
    assert [name for name, _ in read] == stretch.names == [f"{number:05d}" for number in numbers]
    for (_, rgb), number in zip(read, numbers, strict=True):
        np.testing.assert_array_equal(rgb, FRAMES[number])
    assert stretch.size == (48, 64) and stretch.fps == 24


def test_a_stream_is_taken_no_further_than_asked() -> None:
    frames = iter(FRAMES)
    assert [name for name, _ in StreamFrames(frames, 1, 3).read()] == ["00001", "00002"]
    assert next(frames) is FRAMES[3]
    with pytest.raises(ValueError, match="no names before they come"):
        StreamFrames(frames).names  # noqa: B018
