import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.disk.frames import list_images, natural_key, open_frames, read_rgb
from dataset.evaluate.prefetch import prefetch
from tests.support.films import grey


def test_natural_order() -> None:
    assert sorted(["f10", "f9", "f10a", "2", "10", "a"], key=natural_key) == ["2", "10", "a", "f9", "f10", "f10a"]


def test_images_are_listed_by_name_and_strangers_are_not(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.PNG", "11.JPEG", "12.Bmp", ".hidden.jpg", "Thumbs.db", "notes.txt"):
        (tmp_path / name).write_text("")
    assert {name: file.name for name, file in list_images(tmp_path).items()} == {
        "9": "9.PNG", "10": "10.jpg", "11": "11.JPEG", "12": "12.Bmp",
    }  # fmt: skip
    (tmp_path / "9.jpg").write_text("")
    with pytest.raises(ValueError, match="holds both 9.PNG and 9.jpg: remove one of them"):
        list_images(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "PNG", "JPG"])
def test_every_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(grey(80)).save(tmp_path / f"0.{suffix}")
    source = open_frames(tmp_path)
    assert source.size == (48, 96) and source.names == ["0"]
    [(name, rgb)] = list(source.read())
    assert name == "0" and np.abs(rgb.astype(int) - 80).max() <= 2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("0.jpg" if mode == "CMYK" else "0.png")
    Image.fromarray(grey(255)).convert(mode).save(path)
    assert np.array_equal(read_rgb(path), grey(255))


def test_unfit_frames_are_named(tmp_path: Path) -> None:
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ValueError, match=r"frame .*b.jpg is truncated or damaged \(.*\). Copy or download it again"):
        read_rgb(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="frame .*c.jpg is not an image. Expected a JPEG or PNG"):
        read_rgb(tmp_path / "c.jpg")
    Image.fromarray(np.full((4, 4), 999, np.uint16)).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match="frame .*d.png has mode I(;16)?: expected 8 bits per channel"):
        read_rgb(tmp_path / "d.png")
    with pytest.raises(FileNotFoundError, match="frame .*e.png does not exist"):
        read_rgb(tmp_path / "e.png")


def test_places_without_frames_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing does not exist: expected a folder of images or a video file"):
        open_frames(tmp_path / "nothing")
    (tmp_path / "bear").mkdir()
    with pytest.raises(ValueError, match=r"no frames in .*: expected images .*; it holds folders \(bear\): give one"):
        open_frames(tmp_path)
    with pytest.raises(ValueError, match=r"no frames in .*bear: expected images \(.jpg, .jpeg, .png, .bmp\)\."):
        open_frames(tmp_path / "bear")


def count(seen: list[int], limit: int = 1000) -> Iterator[int]:
    try:
        for value in range(limit):
            seen.append(value)
            yield value
    finally:
        seen.append(-1)


def test_prefetch_keeps_order_and_runs_little_ahead() -> None:
    assert list(prefetch(count([], 50))) == list(range(50))
    seen: list[int] = []
    items = prefetch(count(seen), depth=2)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(seen) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert seen == [0, 1, 2, 3]  # one taken, two queued, one at the door
    items.close()  # type: ignore[attr-defined]
    assert seen[-1] == -1, "the source is closed"
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetch_raises_where_the_error_happened() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("frame 2")

    items = prefetch(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="frame 2"):
        next(items)
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_several_threads_decode_in_order(tmp_path: Path) -> None:
    for number in range(9):
        Image.fromarray(grey(20 * number)).save(tmp_path / f"{number}.png")
    (tmp_path / "9.png").write_bytes(b"not an image")
    found = open_frames(tmp_path).read(threads=3)
    for number in range(9):
        name, rgb = next(found)
        assert name == str(number) and (rgb == 20 * number).all()
    with pytest.raises(ValueError, match="9.png is not an image"):
        next(found)
