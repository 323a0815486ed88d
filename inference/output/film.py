"""A film of frames with coloured objects, played as the source is."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from util.files.palette import overlay as draw_overlay

_CODECS = ("libx264", "h264", "mpeg4")
_UNIT = Fraction(1, 60_000)  # of uneven times: MPEG-4 knows no finer one


class OverlayVideo:
    """An mp4 file of frames with coloured objects: H.264 where FFmpeg has an encoder for it, else MPEG-4."""

    def __init__(self, path: Path, fps: float, times: Sequence[Fraction] = ()) -> None:
        """Nothing is written before the first frame, whose size the video takes.

        Args:
            path: the file.
            fps: frames per second, on average.
            times: when each frame is shown, in seconds, rising; none: evenly, so many a second.
        """
        self._path = path
        self._fps = Fraction(fps).limit_denominator(1001)
        self._times = times
        self._count = 0
        self._container: av.container.OutputContainer | None = None

    def add(self, rgb_HW3: np.ndarray, ids_HW: np.ndarray, colours: np.ndarray | None = None) -> None:
        """Append a frame, `colours` as in `util.files.palette.overlay`.

        Sides of odd length grow by one pixel, since the encoders need even ones.
        """
        picture = draw_overlay(rgb_HW3, ids_HW, colours=colours)
        height, width = ids_HW.shape
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._container is None:
            self._container = av.open(str(self._path), "w", format="mp4")
            stream = self._container.add_stream(_codec(), rate=self._fps)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = picture.shape[1], picture.shape[0]
            stream.pix_fmt = "yuv420p"
            stream.bit_rate = max(500_000, 6 * picture.shape[0] * picture.shape[1])
            if self._times:
                stream.codec_context.time_base = _UNIT
            self._stream = stream
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        if self._times:
            frame.pts, frame.time_base = round(self._time(self._count) / _UNIT), _UNIT
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _time(self, number: int) -> Fraction:
        """When a frame is shown; one more than was announced follows at the usual pace."""
        known = min(number, len(self._times) - 1)
        return self._times[known] + (number - known) / self._fps

    def close(self) -> None:
        """Write what the encoder still holds and close the file."""
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None


def _codec() -> str:
    return next(name for name in _CODECS if name in av.codecs_available and _encodes(name))


def _encodes(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except ValueError:  # PyAV's UnknownCodecError: FFmpeg can decode it only
        return False
    return True
