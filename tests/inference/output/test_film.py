"""Overlay films: shown as long as their sources."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from inference.output import film as module
from inference.output.film import OverlayVideo
from tests.support.films import shown_times

PICTURE, IDS = np.full((31, 45, 3), 90, np.uint8), np.zeros((31, 45), np.uint8)


def write(path: Path, fps: float, times: list[Fraction], count: int) -> list[float]:
    film = OverlayVideo(path, fps, times)
    for _ in range(count):
        film.add(PICTURE, IDS)
    film.close()
    return shown_times(path)


@pytest.mark.parametrize("codecs", [("libx264", "mpeg4"), ("mpeg4",)])
def test_frames_are_shown_when_they_were(codecs: tuple[str, ...], tmp_path: Path, monkeypatch: object) -> None:
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr(module, "_CODECS", codecs)
    uneven = [Fraction(ms, 1000) for ms in (0, 40, 500, 510, 900, 2000)]
    assert write(tmp_path / "uneven.mp4", 3.0, uneven, 6) == pytest.approx([float(time) for time in uneven], abs=1e-3)
    ntsc = [Fraction(1001 * index, 30_000) for index in range(20)]
    assert write(tmp_path / "ntsc.mp4", 29.97, ntsc, 20) == pytest.approx([float(time) for time in ntsc], abs=1e-3)
    assert write(tmp_path / "even.mp4", 10, [], 5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-3)


def test_a_frame_more_than_announced_follows_at_the_usual_pace(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 2)]
    assert write(tmp_path / "film.mp4", 4, times, 4) == pytest.approx([0, 0.5, 0.75, 1.0], abs=1e-3)
