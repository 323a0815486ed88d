"""Small films with frames at given times, made with PyAV alone."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

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
