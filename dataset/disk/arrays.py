"""Frames that a program holds or receives: arrays, tensors, a camera; and stretches of any source."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dataset.disk.films import USUAL_FPS
from dataset.disk.frames import FrameSource
from dataset.disk.seek import frame_reader

Frames = Iterable[np.ndarray | Tensor]


def to_rgb(frame: Any, number: int) -> np.ndarray:
    """Return a frame as [H,W,3] uint8 RGB.

    Args:
        frame: [H,W,3] uint8 (array or tensor), or [3,H,W] float in 0..1.
        number: of the frame, for the message.

    Raises:
        ValueError: for anything else.
    """
    array = frame.detach().cpu().numpy() if isinstance(frame, Tensor) else np.asarray(frame)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.ndim == 3 and array.shape[0] == 3 and np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if 0 <= low and high <= 1:
            return np.ascontiguousarray((array.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))
        raise ValueError(
            f"frame {number}: expected floats in 0..1, received {low:.3g}..{high:.3g}; give RGB before normalisation"
        )
    raise ValueError(
        f"frame {number}: expected [H,W,3] uint8 or [3,H,W] float in 0..1, received {array.dtype} {list(array.shape)}"
    )


class ArrayFrames:
    """Frames of a list, an array [T,H,W,3] or a tensor [T,3,H,W], named 00000, 00001, ..."""

    path = Path("frames")
    fps = USUAL_FPS

    def __init__(self, frames: Sequence[np.ndarray | Tensor] | np.ndarray | Tensor) -> None:
        """Raise ValueError if there are no frames."""
        if len(frames) == 0:
            raise ValueError("frames: expected at least one, received an empty sequence")
        self._frames = frames

    @property
    def names(self) -> list[str]:
        """Names of all frames in order."""
        return [f"{number:05d}" for number in range(len(self._frames))]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame in pixels."""
        height, width = self.at(0).shape[:2]
        return height, width

    def at(self, index: int) -> np.ndarray:
        """Return the frame of a number, counted from 0, as [H,W,3] uint8 RGB."""
        return to_rgb(self._frames[index], index)

    def read(self, threads: int = 1) -> Generator[tuple[str, np.ndarray], None, None]:
        """Yield the name and the picture [H,W,3] uint8 RGB of each frame."""
        for number, name in enumerate(self.names):
            yield name, self.at(number)


class StreamFrames:
    """Frames of an iterator, such as a camera, as they come; how many there will be is not known."""

    path = Path("stream")
    fps = USUAL_FPS
    size = (0, 0)

    def __init__(self, frames: Frames, start: int = 0, stop: int | None = None) -> None:
        """Take frames `start` to `stop` (excluded); nothing is taken from the iterator before `read`."""
        self._frames = frames
        self._start, self._stop = start, stop

    @property
    def names(self) -> list[str]:
        """Raise ValueError: they are not known."""
        raise ValueError("frames of a stream have no names before they come: give a list of frames instead")

    def read(self, threads: int = 1) -> Generator[tuple[str, np.ndarray], None, None]:
        """Yield the name and the picture [H,W,3] uint8 RGB of each frame; possible once."""
        for number, frame in enumerate(islice(self._frames, self._start, self._stop), start=self._start):
            yield f"{number:05d}", to_rgb(frame, number)


class Stretch:
    """Frames `start` to `stop` (excluded) of a source, which may end there in reverse order."""

    def __init__(self, source: FrameSource, start: int = 0, stop: int | None = None, reverse: bool = False) -> None:
        """Raise ValueError if there is no such stretch, or the source can't be read backwards."""
        names = source.names
        end = len(names) if stop is None else stop
        if not 0 <= start < end <= len(names):
            raise ValueError(
                f"frames {start} to {end} (excluded) of {source.path}: it has {len(names)} frames, counted from 0"
            )
        self.path = source.path
        self._source = source
        self._span = range(end - 1, start - 1, -1) if reverse else range(start, end)
        self._at = frame_reader(source) if reverse or start else None
        self.names = [names[number] for number in self._span]

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self._source.fps

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the source's first frame in pixels."""
        return self._source.size

    def read(self, threads: int = 1) -> Generator[tuple[str, np.ndarray], None, None]:
        """Yield the name and the picture [H,W,3] uint8 RGB of each frame; `threads` decode, but not backwards."""
        if self._at is not None:
            for name, number in zip(self.names, self._span, strict=True):
                yield name, self._at(number)
            return
        with closing(self._source.read(threads)) as frames:
            for number, item in enumerate(frames):
                yield item
                if number + 1 == len(self._span):
                    return
