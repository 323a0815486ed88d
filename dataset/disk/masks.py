"""Masks that are no plain PNG of ids: a PNG for each object, run lengths, a value that means nothing.

Wherever objects overlap, the smaller one lies on top: a hand stays beside its person, and no object disappears under
another that holds it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from pycocotools import mask as run_lengths

from dataset.disk.films import VideoFileFrames
from dataset.disk.frames import FrameSource, list_images
from dataset.disk.lists import subfolders
from util.files.palette import read_mask


class StoredMask(Protocol):
    """A mask that is read when it is needed; `str` says where it is."""

    def read(self) -> np.ndarray:
        """Return ids [H,W] uint8 or uint16; raises as `util.files.palette.read_mask`."""


@dataclass(frozen=True)
class VoidMask:
    """A PNG of ids in which one value marks pixels that are not annotated; they are read as background.

    Attributes:
        path: the file.
        void: the value.
    """

    path: Path
    void: int = 255

    def __str__(self) -> str:
        """Return the path."""
        return str(self.path)

    def read(self) -> np.ndarray:
        """Read the file."""
        ids = read_mask(self.path)
        return np.where(ids == self.void, 0, ids).astype(ids.dtype)


@dataclass(frozen=True)
class ObjectMasks:
    """A binary PNG for each object, in which everything that is not zero is the object; `files` are by id."""

    files: Mapping[int, Path]

    def __str__(self) -> str:
        """Return the path of the first."""
        first, *others = self.files.values()
        return f"{first} and {len(others)} more" if others else str(first)

    def read(self) -> np.ndarray:
        """Read all files; ValueError also where they differ in size."""
        masks = {number: read_mask(path) != 0 for number, path in self.files.items()}
        sizes = {mask.shape for mask in masks.values()}
        if len(sizes) > 1:
            raise ValueError(f"masks {self} differ in size: {', '.join(f'{w}x{h}' for h, w in sorted(sizes))}.")
        return flatten(masks, sizes.pop())


@dataclass(frozen=True)
class RunLengthMasks:
    """COCO's compressed run lengths of some objects of a frame.

    Attributes:
        where: the file, video and frame, for messages.
        size: height and width in pixels.
        counts: by object id.
    """

    where: str
    size: tuple[int, int]
    counts: Mapping[int, bytes]

    def __str__(self) -> str:
        """Return where they are."""
        return self.where

    def read(self) -> np.ndarray:
        """Decode all; ValueError for run lengths that are none of this size."""
        return flatten({number: self._decode(counts) for number, counts in self.counts.items()}, self.size)

    def _decode(self, counts: bytes) -> np.ndarray:
        try:
            plane = run_lengths.decode({"size": list(self.size), "counts": counts})
        except Exception as error:  # pycocotools raises whatever its C code meets
            raise ValueError(f"{self.where}: run lengths cannot be decoded ({error}). Download it again.") from error
        return np.asarray(plane, dtype=bool)


def flatten(masks: Mapping[int, np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    """Return masks [H,W] bool, by id, as ids [H,W] uint8 or uint16; the smaller of two lies on top."""
    ids_HW = np.zeros(size, np.uint8 if max(masks, default=0) <= 255 else np.uint16)
    for number, mask in sorted(masks.items(), key=lambda pair: -int(pair[1].sum())):
        ids_HW[mask] = number
    return ids_HW


def encode(mask_HW: np.ndarray) -> bytes:
    """Return a mask [H,W] as COCO's compressed run lengths."""
    counts: bytes = run_lengths.encode(np.asfortranarray(mask_HW, dtype=np.uint8))["counts"]
    return counts


def match_masks(source: FrameSource, folder: Path, *, first_frame: bool = False) -> dict[str, Path]:
    """Return a folder's mask files by the names of their frames, in the frames' order.

    With `first_frame` there must be one for the first frame, and others may lack theirs.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it holds no mask, or one whose name is that of no frame.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"masks {folder} of video {source.path} do not exist: expected a folder of PNGs.")
    files = list_images(folder)
    if not files:
        raise ValueError(f"no mask in {folder}: expected PNGs named like the frames in {source.path}.")
    names = source.names
    if isinstance(source, VideoFileFrames):
        files = {f"{int(stem):05d}" if stem.isdecimal() else stem: file for stem, file in files.items()}
    known = set(names)
    strangers = [file.name for stem, file in files.items() if stem not in known]
    if strangers and not first_frame:
        raise ValueError(
            f"{len(strangers)} masks in {folder} match no frame of {source.path}: {some(strangers)}. "
            f"Name each mask like its frame ({names[0]}.png ... {names[-1]}.png)."
        )
    if first_frame and names[0] not in files:
        raise ValueError(f"no mask for the first frame: {folder / names[0]}.png is missing.")
    return {name: files[name] for name in names if name in files}


def object_folders(folder: Path) -> dict[str, int]:
    """Return the folders of a video's objects (SA-V: 000, 001, ...) with their ids, which are the numbers plus 1.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it holds something else than folders with numbers for names, or no folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"masks {folder} do not exist: expected a folder for each object, 000, 001, ...")
    names = subfolders(folder)
    strange = [name for name in names if not name.isdecimal()]
    if not names or strange:
        found = some(strange) if strange else "PNGs or nothing"
        raise ValueError(f"{folder} holds {found}: expected a folder of binary PNGs for each object, 000, 001, ...")
    return {name: int(name) + 1 for name in names}


def match_object_masks(source: FrameSource, folder: Path, *, first_frame: bool = False) -> dict[str, ObjectMasks]:
    """Return the masks of a video whose objects have a folder each, by frame; raises as `match_masks`."""
    files: dict[str, dict[int, Path]] = {}
    for name, number in object_folders(folder).items():
        for frame, path in match_masks(source, folder / name, first_frame=first_frame).items():
            files.setdefault(frame, {})[number] = path
    return {name: ObjectMasks(files[name]) for name in source.names if name in files}


def match_void_masks(source: FrameSource, folder: Path, *, first_frame: bool = False) -> dict[str, VoidMask]:
    """Return a folder's masks by frame, with 255 for what is not annotated; raises as `match_masks`."""
    found = match_masks(source, folder, first_frame=first_frame)
    return {name: VoidMask(path) for name, path in found.items()}


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


MatchMasks = Callable[..., Mapping[str, Path | StoredMask]]
"""`match_masks` or one that does the same for masks of another form."""
