"""Frames for the browser, and ids there and back."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inference.web.film import Film, decode_ids, encode_ids, encode_jpeg
from tests.support.page import write_clip


def test_a_film(tmp_path: Path) -> None:
    film = Film(write_clip(tmp_path / "clip.mp4", 5))
    assert (len(film), film.size, film.fps) == (5, (48, 64), 25)
    for frame in (4, 0, 2, 4):
        decoded = np.asarray(Image.open(io.BytesIO(film.jpeg(frame))))
        assert np.abs(decoded.astype(int) - film.rgb(frame)).mean() < 12
    with pytest.raises(IndexError, match=r"frame 5 of clip.mp4: it has frames 0 to 4"):
        film.jpeg(5)
    with pytest.raises(FileNotFoundError):
        Film(tmp_path / "none.mp4")


def test_large_pictures_get_smaller_for_the_browser() -> None:
    jpeg = encode_jpeg(np.zeros((1000, 4000, 3), np.uint8))
    assert Image.open(io.BytesIO(jpeg)).size == (1920, 480)


def test_ids_there_and_back() -> None:
    ids = np.random.default_rng(0).integers(0, 256, (31, 17), dtype=np.uint8)
    assert np.array_equal(decode_ids(encode_ids(ids), (31, 17)), ids)
    coloured = cv2.imencode(".png", np.dstack([ids, ids, ids, np.full_like(ids, 255)]))[1].tobytes()  # a canvas's
    assert np.array_equal(decode_ids(coloured, (31, 17)), ids)
    with pytest.raises(ValueError, match="expected a PNG of 31x17 pixels, received 17x31 pixels"):
        decode_ids(encode_ids(ids), (17, 31))
