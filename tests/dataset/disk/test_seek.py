"""Frames by number equal the frames in order, whatever the order in which they are asked for."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset.disk.arrays import ArrayFrames, StreamFrames
from dataset.disk.frames import open_frames
from dataset.disk.seek import frame_reader
from tests.support.toy_videos import draw, write_video

LENGTH = 90


def write_film(path: Path, codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv420p", {**options}
        for number in range(LENGTH):
            frame = av.VideoFrame.from_ndarray(draw(number % 15, (1, 2), seed=number)[0], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


FILMS = {
    "b_frames.mp4": ("libx264", {"g": "25", "bf": "3"}),
    "one_key_frame.mp4": ("libx264", {"g": "1000", "bf": "2"}),
    "open_groups.mkv": ("libx264", {"g": "20", "bf": "3", "x264-params": "open-gop=1"}),
    "mpeg4.avi": ("mpeg4", {"g": "12"}),
    "bare.h264": ("libx264", {"g": "25", "bf": "2"}),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_film(tmp_path: Path, name: str) -> None:
    write_film(tmp_path / name, *FILMS[name])
    source = open_frames(tmp_path / name)
    expected = [rgb for _, rgb in source.read()]
    assert len(expected) == len(source.names) == LENGTH
    read = frame_reader(source)
    order = [*range(10), *range(89, 60, -1), *np.random.default_rng(0).integers(0, LENGTH, 25), 0, 89]
    for number in order:
        np.testing.assert_array_equal(read(int(number)), expected[number])


def test_a_folder_and_a_list(tmp_path: Path) -> None:
    write_video(tmp_path / "frames", tmp_path / "masks", length=3)
    frames = [draw(number, (1, 2))[0] for number in range(3)]
    for source in (open_frames(tmp_path / "frames"), ArrayFrames(frames)):
        read = frame_reader(source)
        for number in (2, 0, 1):
            np.testing.assert_array_equal(read(number), frames[number])


def test_a_damaged_film_is_refused_where_it_is_damaged(tmp_path: Path) -> None:
    write_film(tmp_path / "a.avi", *FILMS["mpeg4.avi"])
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(content[: len(content) // 2])
    read = frame_reader(open_frames(tmp_path / "a.avi", allow_truncated=True))
    read(0)
    with pytest.raises(ValueError, match=r"frame 89 can't be decoded"):
        read(89)


def test_a_stream_has_no_order_but_its_own() -> None:
    with pytest.raises(ValueError, match="frames of a stream come in order only"):
        frame_reader(StreamFrames(iter([])))
