import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dataset.disk.frames import list_images, natural_key, open_frames, read_rgb
from dataset.evaluate.prefetch import prefetch
from inference.output.writer import OverlayVideo

ONE = 1 << 16  # 16.16 fixed point


def write_film(path: Path, pictures: list[np.ndarray]) -> None:
    film = OverlayVideo(path, fps=12.5)
    for picture in pictures:
        film.add(picture, np.zeros(picture.shape[:2], np.uint8))
    film.close()


def grey(level: int, height: int = 48, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


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
    with pytest.raises(ValueError, match="frame .*d.png has mode I;16: expected 8 bits per channel. Convert it to RGB"):
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


def test_video_file_by_content_not_by_suffix(tmp_path: Path) -> None:
    levels = [30, 90, 150, 210]
    write_film(tmp_path / "film.mp4", [grey(level) for level in levels])
    (tmp_path / "film.mp4").rename(tmp_path / "film.dat")
    source = open_frames(tmp_path / "film.dat")
    assert source.names == ["00000", "00001", "00002", "00003"]
    assert source.size == (48, 96) and source.fps == 12.5
    for (name, rgb), expected, level in zip(source.read(), source.names, levels, strict=True):
        assert name == expected and rgb.shape == (48, 96, 3) and abs(rgb.mean() - level) < 6


@pytest.mark.parametrize(
    ("matrix", "bright", "shape"),
    [
        ((0, ONE, -ONE, 0), (0, 1), (96, 48)),  # a quarter turn clockwise, as telephones write it
        ((-ONE, 0, 0, -ONE), (1, 1), (48, 96)),
        ((0, -ONE, ONE, 0), (1, 0), (96, 48)),
    ],
)
def test_rotation_tag_is_honoured(
    tmp_path: Path, matrix: tuple[int, ...], bright: tuple[int, int], shape: tuple[int, int]
) -> None:
    picture = grey(0)
    picture[:24, :48] = 255  # the corner at the top left
    write_film(tmp_path / "film.mp4", [picture])
    content = (tmp_path / "film.mp4").read_bytes()

    def tag(a: int, b: int, c: int, d: int) -> bytes:
        return b"".join(value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 1 << 30))

    place = content.index(tag(ONE, 0, 0, ONE), content.index(b"tkhd"))
    (tmp_path / "film.mp4").write_bytes(content[:place] + tag(*matrix) + content[place + 36 :])
    source = open_frames(tmp_path / "film.mp4")
    [(_, rgb)] = list(source.read())
    assert source.size == rgb.shape[:2] == shape
    quarters = rgb[:, :, 0].reshape(2, shape[0] // 2, 2, shape[1] // 2).mean(axis=(1, 3))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == bright


def test_unfit_video_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    with pytest.raises(
        ValueError, match="text.mp4 cannot be read as a video .*Expected a video file such as mp4, or a"
    ):
        open_frames(tmp_path / "text.mp4")
    (tmp_path / "notes.txt").write_text("this is no video\n" * 100)
    with pytest.raises(ValueError, match="notes.txt is a text file, not a video"):
        open_frames(tmp_path / "notes.txt")
    Image.fromarray(grey(1)).save(tmp_path / "frame.png")
    with pytest.raises(ValueError, match="frame.png is a single image, not a video"):
        open_frames(tmp_path / "frame.png")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(ValueError, match="sound.wav has no video stream"):
        open_frames(tmp_path / "sound.wav")
    write_film(tmp_path / "film.mp4", [grey(level) for level in range(9)])
    content = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cut.mp4 cannot be read as a video"):
        open_frames(tmp_path / "cut.mp4")


def noise(count: int) -> list[np.ndarray]:
    random = np.random.RandomState(0)
    return [random.randint(0, 255, (48, 96, 3), np.uint8) for _ in range(count)]


def test_damage_inside_a_video_file_is_named(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", noise(12))
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"video .*film.mp4 is damaged after frame \d+ \("):
        list(open_frames(tmp_path / "film.mp4").read())


def test_a_broken_off_download_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with av.open(str(tmp_path / "film.mp4"), "w", options={"movflags": "faststart"}) as container:  # the index is first
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height = 96, 48
        for picture in noise(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    content = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "film.mp4").write_bytes(content[: len(content) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        frames = list(open_frames(tmp_path / "film.mp4").read())
    assert 0 < len(frames) < 12
    assert f"video {tmp_path / 'film.mp4'}: {len(frames)} of 12 frames could be decoded." in caplog.text


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
