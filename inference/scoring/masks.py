"""Masks to score, wherever they lie: folders of PNGs, COCO files; found by their layout and read frame by frame."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from dataset.disk.frames import natural_key
from dataset.disk.layout import MASKS, RESOLUTIONS
from dataset.disk.lists import subfolders
from inference.output.coco import CocoMasks, read_coco
from util.files.palette import object_ids, read_mask

PathLike = str | os.PathLike[str]
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Folders on the way from a data set's root to its masks.
_ON_THE_WAY = (MASKS, *RESOLUTIONS)


@dataclass(frozen=True)
class FrameMasks:
    """The masks of a frame's objects, [H,W] bool by id; they may overlap.

    Attributes:
        size: height and width.
        masks: of the objects that the frame shows.
    """

    size: tuple[int, ...]
    masks: Mapping[int, np.ndarray]

    def mask(self, key: int) -> np.ndarray:
        """Return an object's mask, an empty one if the frame does not show it."""
        found = self.masks.get(key)
        return np.zeros(self.size, dtype=bool) if found is None else found


class SequenceMasks(Protocol):
    """The masks of one video."""

    @property
    def where(self) -> str:
        """What to call it in messages."""

    @property
    def names(self) -> Sequence[str]:
        """The frames in order."""

    def place(self, name: str) -> str:
        """Return what to call the mask of a frame in messages."""

    def size(self, name: str) -> tuple[int, int] | None:
        """Return width and height without decoding, or None for what is no mask."""

    def read(self, name: str) -> FrameMasks:
        """Read a frame; ValueError for a file that holds no object ids."""


@dataclass(frozen=True)
class PngMasks:
    """A folder with a PNG of ids for each frame; `single_object`: everything that is not zero is one object, id 1."""

    folder: Path
    single_object: bool = False

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.folder)

    @cached_property
    def names(self) -> Sequence[str]:
        """The names of its PNGs without suffix, in natural order."""
        found = (path.stem for path in self.folder.glob("*.png") if not path.name.startswith("."))
        return tuple(sorted(found, key=natural_key))

    def place(self, name: str) -> str:
        """Return the path of a frame's file."""
        return f"{self.folder / name}.png"

    def size(self, name: str) -> tuple[int, int] | None:
        """Return width and height from a file's header."""
        return png_size(self.folder / f"{name}.png")

    def read(self, name: str) -> FrameMasks:
        """Read a file."""
        ids = read_mask(self.folder / f"{name}.png")
        if self.single_object:
            return FrameMasks(ids.shape, {1: ids > 0} if ids.any() else {})
        return FrameMasks(ids.shape, {key: ids == key for key in object_ids(ids)})


@dataclass(frozen=True)
class CocoSequence:
    """A COCO file of one video."""

    coco: CocoMasks
    single_object: bool = False

    @property
    def where(self) -> str:
        """The file."""
        return str(self.coco.path)

    @property
    def names(self) -> Sequence[str]:
        """The names of its images without suffix, in their order."""
        return tuple(self.coco.names)

    def place(self, name: str) -> str:
        """Return the file and the frame."""
        return f"{self.coco.path}: frame {name}"

    def size(self, name: str) -> tuple[int, int] | None:
        """Return width and height as the file has them."""
        return self.coco.size[1], self.coco.size[0]

    def read(self, name: str) -> FrameMasks:
        """Decode a frame."""
        masks = {key: mask for key, mask in self.coco.masks(name).items() if mask.any()}
        if self.single_object and masks:
            masks = {1: np.any(list(masks.values()), axis=0)}
        return FrameMasks(self.coco.size, masks)


@dataclass(frozen=True)
class NoMasks:
    """A video of which there is no prediction: no object in any frame, all of them as large as the ground truth's."""

    truth: SequenceMasks

    @property
    def where(self) -> str:
        """No place."""
        return "no prediction"

    @property
    def names(self) -> Sequence[str]:
        """Those of the ground truth."""
        return self.truth.names

    def place(self, name: str) -> str:
        """Return the place in the ground truth."""
        return self.truth.place(name)

    def size(self, name: str) -> tuple[int, int] | None:
        """Return that of the ground truth."""
        return self.truth.size(name)

    def read(self, name: str) -> FrameMasks:
        """Return a frame without objects."""
        width, height = self.truth.size(name) or (0, 0)
        return FrameMasks((height, width), {})


@dataclass(frozen=True, kw_only=True)
class MaskSet:
    """The masks of several videos.

    Attributes:
        root: where they lie.
        layout: how, in words.
        sequences: the videos by name.
        alone: whether there is but one, named after its folder or file, so that its name says nothing.
        by_object: whether a video's folder holds a folder for each object.
    """

    root: Path
    layout: str
    sequences: Mapping[str, SequenceMasks]
    alone: bool = False
    by_object: bool = False


def open_masks(root: PathLike, what: str, *, single_object: bool = False) -> MaskSet:
    """Find the masks below `root` by their layout; no mask is read.

    Taken are: a folder for each video, with a PNG for each frame, or with a folder of PNGs for each object; the PNGs
    of one video; a COCO file for each video; one COCO file. Folders "Annotations", "480p" and "Full-Resolution" on the
    way are entered, hidden ones left out.

    Raises:
        FileNotFoundError: when `root` is missing.
        ValueError: when there are no masks.
    """
    root = Path(root)
    if root.is_file() and root.suffix == ".json":
        return _coco_files(root, [root], single_object)
    if not root.is_dir():
        raise FileNotFoundError(f"{what} folder {root} does not exist; expected <sequence>/<frame>.png below it.")
    folders = subfolders(root)
    while inner := next((name for name in _ON_THE_WAY if name in folders), None):
        root = root / inner
        folders = subfolders(root)
    if folders:
        by_object = all(not _has_png(root / name) and subfolders(root / name) for name in folders)
        layout = "a folder for each object of each video" if by_object else "a folder of PNGs for each video"
        found = {name: PngMasks(root / name, single_object) for name in folders}
        return MaskSet(root=root, layout=layout, sequences=found, by_object=by_object)
    if _has_png(root):
        found = {root.resolve().name: PngMasks(root, single_object)}
        return MaskSet(root=root, layout="the PNGs of one video", sequences=found, alone=True)
    files = [path for path in sorted(root.glob("*.json")) if not path.name.startswith(".")]
    if files:
        return _coco_files(root, files, single_object)
    raise ValueError(f"{root} has no sequence folders; expected <sequence>/<frame>.png below it.")


def png_size(path: Path) -> tuple[int, int] | None:
    """Return width and height from a PNG's header, or None when the file does not start as a PNG does."""
    with path.open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or not header.startswith(_PNG_START) or header[12:16] != b"IHDR":
        return None
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def _has_png(folder: Path) -> bool:
    return next(folder.glob("*.png"), None) is not None


def _coco_files(root: Path, files: Sequence[Path], single_object: bool) -> MaskSet:
    found = {path.stem: CocoSequence(read_coco(path), single_object) for path in files}
    layout = "a COCO file of one video" if root.is_file() else "a COCO file for each video"
    return MaskSet(root=root, layout=layout, sequences=found, alone=len(files) == 1)
