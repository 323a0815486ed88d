"""Frames of a video by their number, in any order: for going backwards, and for looking around."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import av
import numpy as np

from dataset.disk.films import VideoFileFrames
from dataset.disk.frames import FrameSource

_CHUNK = 16  # frames that stay after a jump in a film, those before the one asked for
_KEPT_BYTES = 2**27  # of all frames that are kept
_LEAD = (0, 64, 512)  # how many frames before the one asked for a key frame is looked for


@runtime_checkable
class Seekable(Protocol):
    """A source whose frames can be had in any order at no cost."""

    def at(self, index: int) -> np.ndarray:
        """Return the frame of a number, counted from 0, as [H,W,3] uint8 RGB."""


def frame_reader(source: FrameSource) -> Callable[[int], np.ndarray]:
    """Return what reads a source's frames by number, counted from 0: [H,W,3] uint8 RGB, as the source's `read` yields.

    Not for several threads at once. Raises ValueError for a source that can only be read in order.
    """
    if isinstance(source, VideoFileFrames):
        return FilmReader(source).read
    if isinstance(source, Seekable):
        return source.at
    raise ValueError(
        f"{source.path}: frames of a stream come in order only: for going backwards give a list of frames, a folder or "
        "a video file"
    )


class FilmReader:
    """Reads frames of a video file by number; forwards without a detour.

    At a jump it goes to the key frame before, and keeps the frames that end with the one asked for, so that going
    backwards decodes a stretch once for many frames.
    """

    def __init__(self, film: VideoFileFrames) -> None:
        """Nothing is opened before the first frame is asked for."""
        self._film = film
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._decoder: Iterator[tuple[int, np.ndarray]] | None = None
        self._next = 0  # the frame that the decoder yields next
        self._numbers: dict[int, int] | None = None  # of frames, by their time stamps

    def read(self, index: int) -> np.ndarray:
        """Return frame `index`, counted from 0, as [H,W,3] uint8 RGB; raises ValueError if it can't be decoded."""
        if index in self._kept:
            return self._kept[index]
        first = index
        if self._decoder is None or not self._next <= index <= self._next + _CHUNK:
            first = max(0, index - _CHUNK + 1)
            self._decoder = self._decode_from(first)
        try:
            for number, rgb in self._decoder:
                self._next = number + 1
                if number >= first:
                    self._kept[number] = rgb
                while len(self._kept) > min(2 * _CHUNK, max(1, _KEPT_BYTES // rgb.nbytes)):
                    self._kept.popitem(last=False)
                if number == index:
                    return rgb
            reason = "the film ends before"
        except av.FFmpegError as error:
            reason = str(error)
        self._decoder = None
        raise ValueError(
            f"video {self._film.path}: frame {index} can't be decoded ({reason}). Convert it to mp4 (H.264) and try "
            "again."
        )

    def _decode_from(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield numbers and pictures, from a frame at or before `first` on."""
        if self._numbers is None:
            self._numbers = {time: number for number, time in enumerate(self._film.times())}
        times = list(self._numbers)
        expected = 0
        for lead in _LEAD if first < len(times) else ():
            start = max(0, first - lead)
            frames = self._film.decode(times[start] if start else None)
            time, rgb = next(frames, (None, None))
            number = None if time is None else self._numbers.get(time)
            if rgb is None or number is None or number > first:
                continue  # the key frame's time stamp is unknown, or after the frame
            yield number, rgb
            expected = number + 1
            for time, rgb in frames:
                if time is None or self._numbers.get(time) != expected:
                    break  # a gap in the time stamps: only counting from the start is sure
                yield expected, rgb
                expected += 1
            else:
                return
            break
        for number, (_, rgb) in enumerate(self._film.decode()):
            if number >= expected:
                yield number, rgb
