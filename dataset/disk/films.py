"""Frames of a video file as RGB pictures, one at a time, and when each of them is shown."""

import logging
import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np

logger = logging.getLogger(__name__)

USUAL_FPS = 24.0
FIRST_OF_FILE = "00000"


@dataclass(frozen=True)
class _Packets:
    """What a film holds, found without decoding it.

    Attributes:
        times: of the frames that are shown, in the stream's units and in the order shown; None where there is none.
        present: frames, those too that an edit list leaves out.
        expected: frames that there should be as the file's header says.
    """

    times: list[int | None]
    present: int
    expected: int


class VideoFileFrames:
    """Frames of a video file in the order shown, turned as its rotation tag says, named 00000, 00001, ..."""

    def __init__(self, path: Path, *, allow_truncated: bool = False) -> None:
        """Raise ValueError when the file is no video that the installed FFmpeg can read, or one that ends early.

        With `allow_truncated` a film that ends early, or is damaged further on, ends where it does, with a warning.
        """
        self.path = path
        self._allow_truncated = allow_truncated
        found = self._packets
        if found.present < found.expected:
            self._ends_early(f"its header tells of {found.expected} frames, the file holds {found.present}")

    @property
    def fps(self) -> float:
        """Frames per second on average."""
        with self._open() as container:
            return float(container.streams.video[0].average_rate or USUAL_FPS)

    @property
    def names(self) -> list[str]:
        """Names of all frames; counted by going through the file without decoding."""
        return [f"{index:05d}" for index in range(len(self._packets.times))]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame in pixels."""
        with closing(self.read()) as frames:
            for _, rgb in frames:
                return rgb.shape[0], rgb.shape[1]
        raise ValueError(
            f"video {self.path} has no frame that can be decoded. Convert it to mp4 (H.264) and try again."
        )

    def read(self, threads: int = 1) -> Generator[tuple[str, np.ndarray], None, None]:
        """Yield the name and the picture [H,W,3] uint8 RGB of each frame."""
        index = 0
        try:
            for _, rgb in self.decode():
                yield f"{index:05d}", rgb
                index += 1
        except av.FFmpegError as error:
            if not self._allow_truncated:
                raise ValueError(f"video {self.path} is damaged after frame {index} ({error}).") from error
        expected = len(self._packets.times)
        if index < expected:
            self._ends_early(f"{index} of its {expected} frames could be decoded")

    def decode(self, start: int | None = None) -> Generator[tuple[int | None, np.ndarray], None, None]:
        """Yield time stamp and picture of each frame, from the key frame at or before the time stamp `start` on.

        Raises av.FFmpegError for a damaged file.
        """
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if start is not None:
                container.seek(start, stream=stream)
            for frame in container.decode(stream):
                rgb = frame.to_ndarray(format="rgb24")
                yield frame.pts, np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))

    def times(self) -> list[int]:
        """Return all frames' time stamps in the order shown; empty if the file doesn't give each frame its own."""
        times = self._packets.times
        known = [time for time in times if time is not None]
        return known if len(known) == len(times) == len(set(known)) else []

    def seconds(self) -> list[Fraction]:
        """Return when each frame is shown, from the first on; empty as `times`."""
        times = self.times()
        with self._open() as container:
            unit = container.streams.video[0].time_base or Fraction(1)
        return [(time - times[0]) * unit for time in times]

    @cached_property
    def _packets(self) -> _Packets:
        with self._open() as container:
            stream = container.streams.video[0]
            times, present, ends = [], 0, [0]
            try:
                for packet in container.demux(stream):
                    if not packet.size:
                        continue
                    present += 1
                    if not packet.is_discard:
                        times.append(packet.pts)
                    if packet.pts is not None:
                        ends.append(packet.pts + (packet.duration or 0))
            except av.FFmpegError as error:
                if not self._allow_truncated:
                    raise ValueError(f"video {self.path} is damaged after frame {present} ({error}).") from error
            if None not in times:
                times.sort()
            expected = stream.frames or present + _missing(container, stream, times, max(ends))
            return _Packets(times, present, expected)

    def _ends_early(self, how: str) -> None:
        if not self._allow_truncated:
            raise ValueError(
                f"video {self.path} ends early: {how}. Copy or download it again, or take what is there: "
                "--allow_truncated."
            )
        logger.warning("video %s ends early: %s.", self.path, how)

    def _open(self) -> av.container.InputContainer:
        remedy = "Expected a video file such as mp4, or a folder of images."
        try:
            container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"{self.path} cannot be read as a video ({error}). {remedy}") from error
        # FFmpeg takes a single image, and any text, for a video of one frame.
        kind = container.format.name
        if kind == "tty" or kind == "image2" or kind.endswith("_pipe"):
            container.close()
            what = "a text file" if kind == "tty" else "a single image"
            raise ValueError(f"{self.path} is {what}, not a video. {remedy}")
        if not container.streams.video:
            container.close()
            raise ValueError(f"{self.path} has no video stream. {remedy}")
        return container


def _missing(container: av.container.InputContainer, stream: av.VideoStream, times: list[int | None], end: int) -> int:
    """Return how many frames are missing behind `end`, by a header that gives a duration and no number (Matroska)."""
    known = [time for time in times if time is not None]
    declared = _declared_seconds(container, stream)
    if declared is None or stream.time_base is None or not known:
        return 0
    usual = round(1 / ((stream.average_rate or USUAL_FPS) * stream.time_base))
    steps = [b - a for a, b in zip(known, known[1:], strict=False)] or [usual]
    lacking = declared / stream.time_base - (end - min(known))
    # Where frames come at uneven times, a gap as wide as another one means nothing.
    if lacking < 1.5 * max(steps):
        return 0
    return max(1, round(lacking * len(steps) / sum(steps)))


def _declared_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    for name, value in stream.metadata.items():
        match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", value) if name.upper().startswith("DURATION") else None
        if match:
            return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    # The whole file's may be that of its sound.
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / av.time_base if alone and container.duration is not None else None
