"""Small films with frames at given times, made with PyAV alone."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from inference.output.film import OverlayVideo
from tests.support.toy_videos import HEIGHT, WIDTH, draw

MILLISECOND = Fraction(1, 1000)


def write_film(
    path: Path,
    length: int,
    *,
    ids: tuple[int, ...] = (1, 2),
    times: Sequence[int] | None = None,
    rate: int = 24,
    gop: int = 12,
) -> None:
    """Write the frames of `toy_videos.draw` as MPEG-4: so many a second, or at `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate if times is None else 1000)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", 2_000_000, gop
        for index in range(length):
            rgb, _ = draw(index, ids)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.time_base = MILLISECOND if times is not None else Fraction(1, rate)
            frame.pts = index if times is None else times[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def shown_times(path: Path) -> list[float]:
    """When each frame of a film is shown, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def frame_of(path: Path, number: int) -> np.ndarray:
    """A frame of a film [H,W,3]."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][number]


def film_of(path: Path, pictures: list[np.ndarray]) -> None:
    """Write pictures as our own overlay films."""
    film = OverlayVideo(path, fps=12.5)
    for picture in pictures:
        film.add(picture, np.zeros(picture.shape[:2], np.uint8))
    film.close()


def grey(level: int, height: int = 48, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def noise(count: int) -> list[np.ndarray]:
    random = np.random.RandomState(0)
    return [random.randint(0, 255, (48, 96, 3), np.uint8) for _ in range(count)]
