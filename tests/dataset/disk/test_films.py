"""Video files: their frames, when these are shown, and files that end early."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dataset.disk.films import VideoFileFrames
from dataset.disk.frames import open_frames
from tests.support.films import film_of, grey, noise, write_film

ONE = 1 << 16  # 16.16 fixed point


def test_video_file_by_content_not_by_suffix(tmp_path: Path) -> None:
    levels = [30, 90, 150, 210]
    film_of(tmp_path / "film.mp4", [grey(level) for level in levels])
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
    film_of(tmp_path / "film.mp4", [picture])
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
    film_of(tmp_path / "film.mp4", [grey(level) for level in range(9)])
    content = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cut.mp4 cannot be read as a video"):
        open_frames(tmp_path / "cut.mp4")


def test_damage_inside_a_video_file_is_named(tmp_path: Path) -> None:
    film_of(tmp_path / "film.mp4", noise(12))
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"video .*film.mp4 is damaged after frame \d+ \("):
        list(open_frames(tmp_path / "film.mp4").read())


def broken_off(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_a_broken_off_download_is_refused_or_on_request_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with av.open(str(tmp_path / "film.mp4"), "w", options={"movflags": "faststart"}) as container:  # the index is first
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height = 96, 48
        for picture in noise(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    film = broken_off(tmp_path / "film.mp4", 2 / 3)
    with pytest.raises(ValueError, match=r"ends early: its header tells of 12 frames, the file holds \d\. Copy"):
        open_frames(film)
    source = open_frames(film, allow_truncated=True)
    frames = list(source.read())
    assert 0 < len(frames) < 12 and f"video {film} ends early: its header tells of 12 frames, the file" in caplog.text


@pytest.mark.parametrize("suffix", ["mkv", "avi"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_films_without_an_index_at_the_end(suffix: str, share: float, tmp_path: Path) -> None:
    write_film(tmp_path / f"film.{suffix}", 12)
    assert len(open_frames(tmp_path / f"film.{suffix}").names) == 12
    film = broken_off(tmp_path / f"film.{suffix}", share)
    with pytest.raises(ValueError, match=r"ends early: its header tells of 12 frames, the file holds \d+\. .*--allow"):
        open_frames(film)
    names = open_frames(film, allow_truncated=True).names
    assert 0 < len(names) < 12


def test_one_frame_of_many(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mkv", 12, gop=1)
    with av.open(str(tmp_path / "film.mkv")) as container:
        second = [packet.pos for packet in container.demux(video=0) if packet.size][1]
    content = (tmp_path / "film.mkv").read_bytes()
    (tmp_path / "film.mkv").write_bytes(content[: second or 0])
    with pytest.raises(ValueError, match="its header tells of 12 frames, the file holds 1"):
        open_frames(tmp_path / "film.mkv")


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_frames_at_uneven_times(suffix: str, tmp_path: Path) -> None:
    times = [0, 40, 500, 510, 900, 2000]
    write_film(tmp_path / f"film.{suffix}", 6, times=times)
    source = VideoFileFrames(tmp_path / f"film.{suffix}")
    assert [round(1000 * time) for time in source.seconds()] == times and len(source.names) == 6


def test_frames_that_an_edit_list_leaves_out_have_no_names(tmp_path: Path) -> None:
    write_film(tmp_path / "whole.mp4", 12, gop=4)
    # A cut at frame 6 without encoding anew: from the key frame at 4 on, with an edit list that begins at 6.
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(tmp_path / "whole.mp4")) as whole, av.open(str(tmp_path / "cut.mp4"), "w", options=options) as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in list(whole.demux(video=0))[4:12]:
            packet.pts, packet.dts = packet.pts - 6 * packet.duration, packet.dts - 6 * packet.duration
            packet.stream = stream
            cut.mux(packet)
    source = open_frames(tmp_path / "cut.mp4")
    assert [name for name, _ in source.read()] == source.names and len(source.names) == 6
