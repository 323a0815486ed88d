"""Object proposals on disk: one file of boxes for each video or set of static pictures, read frame by frame.

A file is a NumPy archive without pickles. Its header is JSON in UTF-8: format, version, mode and scale of Selective
Search, filters, names of the frames. Beside it lie the frames' sizes, all boxes one after another, and where each
frame's start.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dataset.disk.layout import proposals_root
from util.files.atomic import atomic_write

FORMAT, VERSION = "corrvos-proposals", 1
# The paper's rules for a box: width over height, and its share of the picture's area; both with their ends.
ASPECT = (1 / 3, 3.0)
AREA = (0.3**2, 0.8**2)
# What a set of static pictures has in place of a video's name.
STATIC_NAME = "proposals"
_LARGEST = np.iinfo(np.uint16).max
_OPEN_FILES = 512
_DAMAGED = (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, kw_only=True)
class ProposalSettings:
    """How boxes were found.

    Attributes:
        mode: of Selective Search, fast or quality.
        scale: of the picture that was searched, to the original.
        aspect: smallest and largest width over height of the boxes that were kept.
        area: their smallest and largest share of the picture's area.
    """

    mode: str = "fast"
    scale: float = 0.5
    aspect: tuple[float, float] = ASPECT
    area: tuple[float, float] = AREA


@dataclass(frozen=True, kw_only=True)
class ProposalHeader:
    """What a file says about itself: how its boxes were found, and the names of its frames in order."""

    settings: ProposalSettings
    frames: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Boxes of a video's frames, or of a set's pictures.

    Attributes:
        header: how they were found, and the names of the frames.
        boxes: for each frame [N,4] uint16: left, top, right, bottom in pixels of the original picture. They are edges:
            the whole picture is (0, 0, width, height). In an order without meaning: the first few are a fair sample.
        sizes: for each frame the picture's height and width.
    """

    header: ProposalHeader
    boxes: tuple[np.ndarray, ...]
    sizes: tuple[tuple[int, int], ...]


def proposals_path(folder: Path, video: str) -> Path:
    """Return the file of a video; of a set of static pictures, with its folder and `STATIC_NAME`."""
    return folder / f"{video}.npz"


def fits_rules(boxes_N4: np.ndarray, height: float, width: float) -> np.ndarray:
    """Return which boxes (left, top, right, bottom) obey the paper's rules in a picture: [N] bool.

    Empty boxes do not.
    """
    left, top, right, bottom = boxes_N4.astype(np.float64).reshape(-1, 4).T
    widths, heights = right - left, bottom - top
    # Ratios cross-multiplied: no division by zero, and 3:1 is exact.
    shape = (3 * widths >= heights) & (widths <= 3 * heights) & (widths > 0) & (heights > 0)
    share = widths * heights / (height * width)
    return shape & (share >= AREA[0]) & (share <= AREA[1])


def write_proposals(folder: Path, video: str, proposals: Proposals) -> None:
    """Write a video's file, whole or not at all; equal proposals give equal bytes.

    Raises:
        ValueError: when a picture has a side above 65535 pixels, or numbers of frames, boxes and sizes differ.
        OSError: when it can't be written.
    """
    frames, boxes = proposals.header.frames, proposals.boxes
    if not len(frames) == len(boxes) == len(proposals.sizes):
        raise ValueError(
            f"proposals of {video}: {len(frames)} frames, {len(boxes)} lists of boxes, {len(proposals.sizes)} sizes; "
            "expected one of each for a frame."
        )
    for frame, size in zip(frames, proposals.sizes, strict=True):
        if max(size) > _LARGEST:
            raise ValueError(
                f"proposals of {video}: frame {frame} is {size[0]}x{size[1]} (height x width), expected at most "
                f"{_LARGEST} pixels a side. Make the data set smaller with scripts/resize_dataset.py."
            )
    header = {
        "format": FORMAT,
        "version": VERSION,
        **asdict(proposals.header.settings),
        "frames": list(frames),
    }
    with atomic_write(proposals_path(folder, video)) as temporary:
        np.savez(
            temporary,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            boxes=np.concatenate([np.zeros((0, 4), np.uint16), *boxes]).astype(np.uint16),
            ends=np.cumsum([len(of_frame) for of_frame in boxes], dtype=np.uint32),
            sizes=np.array(proposals.sizes, np.uint16).reshape(-1, 2),
        )


def read_proposals(
    folder: Path, video: str, frames: Sequence[str], size: tuple[int, int] | None = None
) -> list[np.ndarray]:
    """Return the boxes of some frames of a video, each [N,4] float32: left, top, right, bottom in pixels.

    A process keeps the files that it read last.

    Args:
        folder: see `dataset.disk.layout.proposals_folder`; for static pictures the set's folder.
        video: its name; for static pictures `STATIC_NAME`.
        frames: names without suffix, "00000"; for static pictures paths below the set's folder, "class/x.jpg".
        size: height and width of the pictures, which must be those that were searched; None: not checked.

    Raises:
        FileNotFoundError: when the file is missing.
        ValueError: when it is damaged, has another version, lacks a frame, or is of pictures of another size.
    """
    path = proposals_path(folder, video)
    try:
        state = path.stat()
    except OSError:
        raise _missing(folder, video) from None
    file = _open(folder, video, state.st_mtime_ns, state.st_size)
    _check_frames(folder, video, file.numbers, frames)
    numbers = [file.numbers[frame] for frame in frames]
    for number, frame in zip(numbers, frames, strict=True):
        found = file.proposals.sizes[number]
        if size is not None and found != size:
            raise ValueError(
                f"proposals {path} are for pictures of another size: {frame} had {found[0]}x{found[1]} (height x "
                f"width), now {size[0]}x{size[1]}. Find them anew: {_command(folder, video)} --overwrite"
            )
    return [file.proposals.boxes[number].astype(np.float32) for number in numbers]


def read_header(folder: Path, video: str) -> ProposalHeader:
    """Read how a video's proposals were found, and its frames; the boxes are not read.

    Raises FileNotFoundError when the file is missing, ValueError when it is damaged or has another version.
    """
    with _archive(folder, video) as archive:
        return _parse_header(folder, video, archive["header"])


def read_all(folder: Path, video: str) -> Proposals:
    """Read a whole file. Raises as `read_header`."""
    with _archive(folder, video) as archive:
        header = _parse_header(folder, video, archive["header"])
        boxes, ends, sizes = archive["boxes"], archive["ends"], archive["sizes"]
        count = len(header.frames)
        shapes = boxes.shape[1:], ends.shape, sizes.shape
        if boxes.dtype != np.uint16 or shapes != ((4,), (count,), (count, 2)):
            raise ValueError(
                f"{count} frames, boxes {boxes.dtype} {boxes.shape}, ends {ends.shape}, sizes {sizes.shape}"
            )
        counts = np.diff(ends.astype(np.int64), prepend=0)
        if counts.min(initial=0) < 0 or counts.sum() != len(boxes):
            raise ValueError(f"{len(boxes)} boxes, frames end at {', '.join(map(str, ends[:5]))} ...")
    return Proposals(
        header=header,
        boxes=tuple(np.split(boxes, ends[:-1].astype(np.int64))) if count else (),
        sizes=tuple((int(height), int(width)) for height, width in sizes),
    )


def has_proposals(folder: Path, video: str) -> bool:
    """Return whether a video has a file of proposals; it is not opened."""
    return proposals_path(folder, video).is_file()


def check_proposals(folder: Path, videos: Mapping[str, Sequence[str]], listed: Path | None = None) -> None:
    """See that all videos have proposals for all their frames, from the headers alone: about 0.3 ms a video.

    Args:
        folder: as for `read_proposals`.
        videos: the names of the frames of each video; for static pictures `STATIC_NAME` and their names.
        listed: the file that named the videos, if it is not the data set's own; for the message.

    Raises FileNotFoundError and ValueError as `read_proposals`, with how many are missing.
    """
    missing = [video for video in videos if not has_proposals(folder, video)]
    if missing:
        first = proposals_path(folder, missing[0])
        which = str(first) if len(videos) == 1 else f"{len(missing)} of {len(videos)} videos, such as {first}"
        command = _command(folder, missing[0]) + ("" if listed is None else f" --videos {listed}")
        raise FileNotFoundError(
            f"no object proposals: {which}, missing. Do without them (--ocl_objects manual, or --no_ocl). "
            f"Find them with: {command}"
        )
    for video, frames in videos.items():
        _check_frames(folder, video, frozenset(read_header(folder, video).frames), frames)


@dataclass(frozen=True)
class _File:
    """A file in memory, and the number of each frame by its name."""

    proposals: Proposals
    numbers: dict[str, int]


class _OtherVersion(Exception):
    pass


@lru_cache(maxsize=_OPEN_FILES)
def _open(folder: Path, video: str, changed: int, length: int) -> _File:
    """Read a file that was last changed at `changed` and has `length` bytes: a new one is read anew."""
    proposals = read_all(folder, video)
    return _File(proposals, {frame: number for number, frame in enumerate(proposals.header.frames)})


@contextmanager
def _archive(folder: Path, video: str) -> Iterator[Mapping[str, np.ndarray]]:
    """Open a video's file; all that can be wrong with it, in the block too, becomes one message."""
    path = proposals_path(folder, video)
    if not path.is_file():
        raise _missing(folder, video)
    try:
        # NumPy would leave a damaged file open that it opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive
    except _OtherVersion as error:
        raise ValueError(str(error)) from None
    except _DAMAGED as error:
        raise ValueError(
            f"proposals {path} are truncated or damaged ({error}). Find them anew: {_command(folder, video)}"
        ) from error


def _parse_header(folder: Path, video: str, data: np.ndarray) -> ProposalHeader:
    header: dict[str, Any] = json.loads(data.tobytes().decode())
    if (header["format"], header["version"]) != (FORMAT, VERSION):
        raise _OtherVersion(
            f"proposals {proposals_path(folder, video)} are of another version: expected {FORMAT} {VERSION}, received "
            f"{header['format']} {header['version']}. Find them anew: {_command(folder, video)}"
        )
    settings = ProposalSettings(
        mode=header["mode"], scale=header["scale"], aspect=tuple(header["aspect"]), area=tuple(header["area"])
    )
    return ProposalHeader(settings=settings, frames=tuple(header["frames"]))


def _check_frames(folder: Path, video: str, known: Mapping[str, int] | frozenset[str], frames: Sequence[str]) -> None:
    lacking = [frame for frame in frames if frame not in known]
    if lacking:
        raise ValueError(
            f"proposals {proposals_path(folder, video)} are for other frames: {len(lacking)} of {len(frames)} are not "
            f"among its {len(known)}, such as {lacking[0]}. Find them anew: {_command(folder, video)}"
        )


def _missing(folder: Path, video: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"no object proposals: {proposals_path(folder, video)} is missing. Find them with: {_command(folder, video)}"
    )


def _command(folder: Path, video: str) -> str:
    """Return the command that finds a video's proposals."""
    return f"python scripts/extract_proposals.py {proposals_root(folder, static=video == STATIC_NAME)}"
