"""Where each data set has its frames, masks, lists and meta.json: the one place that knows.

A `Part` is a folder of videos. The functions give the part that a set's name, split or resolution means, whether it is
there or not: who asks says what is missing. Which set a folder holds is for `dataset.disk.recognise` to find out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dataset.disk.lists import read_names, read_training_list, subfolders
from dataset.disk.meta import lvos_frames, youtube_frames

# Which frames of a video have a mask: every one; the first at least; any, at least one; none (they lie elsewhere).
Annotated = Literal["every", "first", "some", "none"]
RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
IMAGES, MASKS, LISTS = "JPEGImages", "Annotations", "ImageSets"
_PROPOSALS = "Proposals"
# More folders of pictures than this are the classes of one set, not sets of their own.
_MOST_SETS = 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """Videos that lie together.

    Attributes:
        name: where, below the root; for people.
        frames: holds a folder of frames for each video.
        masks: holds a folder of masks for each video; None if the part has no masks of its own.
        annotated: which frames have one.
        lists: files that name videos (one per line) or, in DAVIS-2016's first release, files.
        meta: YouTube-VOS's or LVOS's meta.json, there or missing; None if the layout has none.
        read_meta: returns the frames of each object in it, by video and object id.
        void: a value of masks that is no object; 0 for none.
        objects: every object has a folder of binary masks.
    """

    name: str
    frames: Path
    masks: Path | None
    annotated: Annotated
    lists: tuple[Path, ...] = ()
    meta: Path | None = None
    read_meta: Callable[[Path], Mapping[str, Mapping[str, list[str]]]] = youtube_frames
    void: int = 0
    objects: bool = False

    def videos(self) -> list[str]:
        """Return the names of the folders of frames in natural order."""
        return subfolders(self.frames)

    def training_videos(self) -> list[str]:
        """Return the videos that its list for training names, in natural order; all if it has no such list."""
        found = read_training_list(self.lists)
        return self.videos() if found is None else [video for video in self.videos() if video in found[0]]

    def first_only(self) -> frozenset[str]:
        """Return the videos whose masks are kept back but for the first: those that test lists name."""
        tests = (path for path in self.lists if path.stem.startswith("test"))
        return frozenset(name for path in tests for name in read_names(path))


@dataclass(frozen=True, kw_only=True)
class StaticSet:
    """Pictures `x.jpg` with masks `x.png` beside them, in one folder or in a folder for each class.

    Attributes:
        name: the set's.
        folder: its folder, where its proposals lie, too.
        folders: those that hold its pictures: itself, or its classes.
    """

    name: str
    folder: Path
    folders: tuple[Path, ...]

    def pictures(self) -> list[Path]:
        """Return its pictures in order."""
        return sorted(picture for folder in self.folders for picture in folder.glob("*.jpg"))


def plain_part(base: Path, annotated: Annotated = "some", *, name: str = ".", meta: Path | None = None) -> Part:
    """Return `base/JPEGImages/VIDEO` with `base/Annotations/VIDEO`: BL30K, MOSE, LongVideo, one's own videos."""
    return Part(name=name, frames=base / IMAGES, masks=base / MASKS, annotated=annotated, meta=meta)


def davis_part(base: Path, resolution: str = "480p", *, name: str = ".") -> Part:
    """Return DAVIS's videos of a resolution: `base/JPEGImages/480p/VIDEO`, and its lists `base/ImageSets/RELEASE`.

    Lists of file names belong to the resolution that they are named after.
    """
    lists = tuple(sorted(base.glob(f"{LISTS}/*/*.txt")))
    only_tests = base.name == "test-dev" or (bool(lists) and all(path.stem.startswith("test") for path in lists))
    return Part(
        name=name,
        frames=base / IMAGES / resolution,
        masks=base / MASKS / resolution,
        annotated="first" if only_tests else "every",
        lists=tuple(path for path in lists if path.parent.name in (resolution, "2016", "2017")),
    )


def davis_base(root: Path, split: str) -> Path:
    """Return the folder of DAVIS-2017 that holds a split: trainval or test-dev, or the root if it is that itself."""
    base = root / ("test-dev" if split == "test-dev" else "trainval")
    return root if not base.is_dir() and (root / IMAGES).is_dir() else base


def davis_list(base: Path, release: str, split: str) -> Path:
    """Return a list of DAVIS: release 2017, 2016, or 480p, which is the first release of 2016."""
    return base / LISTS / release / f"{split}.txt"


def training_part(root: Path) -> Part | None:
    """Return the fully annotated videos to train on: those at 480p, else those right below JPEGImages; None if none."""
    for below in ("480p", ""):
        frames, masks = root / IMAGES / below, root / MASKS / below
        if frames.is_dir() and masks.is_dir():
            lists = tuple(sorted(root.glob(f"{LISTS}/*/*.txt")))
            return Part(name=below or ".", frames=frames, masks=masks, annotated="every", lists=lists)
    return None


def youtube_part(base: Path) -> Part:
    """Return a split of YouTube-VOS, whose folder is called train_480p, train, valid or test.

    Smaller copies of the training set come without meta.json, and only evaluation needs it.
    """
    name, meta = base.resolve().name, base / "meta.json"
    training = name.startswith("train")
    return plain_part(
        base, "every" if training else "some", name=name, meta=meta if not training or meta.is_file() else None
    )


def youtube_every_frame(root: Path, name: str) -> Part:
    """Return all frames of a split of YouTube-VOS (valid or test), which lie apart from the annotated ones."""
    place = f"all_frames/{name}_all_frames"
    return Part(name=place, frames=root / place / IMAGES, masks=None, annotated="none")


def mose_part(base: Path) -> Part:
    """Return a split of MOSE, whose folder is called train, or valid, where every video shows its first mask."""
    name = base.resolve().name
    return plain_part(base, "every" if name.startswith("train") else "first", name=name)


def long_video_part(root: Path, name: str) -> Part:
    """Return a set of LongVideo: long_video, or long_video_x3, which is three times as long."""
    return plain_part(root / name, name=name)


def lvos_part(base: Path) -> Part:
    """Return a split of LVOS, whose folder is called train, valid, val or test; its meta.json names each object."""
    name = base.resolve().name
    meta = first_file(*(base / f"{spelled}_meta.json" for spelled in (name, "valid", "val")))
    return replace(plain_part(base, name=name, meta=meta or base / f"{name}_meta.json"), read_meta=lvos_frames)


def vost_part(root: Path) -> Part:
    """Return all splits of VOST at 5 frames a second, with their lists."""
    lists = tuple(root / LISTS / f"{split}.txt" for split in ("train", "val", "test"))
    return replace(plain_part(root, "every"), lists=lists, void=255)


def sav_base(root: Path, split: str) -> Path:
    """Return the folder of SA-V that holds a split: sav_val or sav_test, or the root if it is that itself."""
    base = root / f"sav_{split}"
    return root if not base.is_dir() and (root / f"sav_{split}.txt").is_file() else base


def sav_part(base: Path, split: str) -> Part:
    """Return a split of SA-V: frames at 24 a second; masks at 6, in a folder for each object; and its list."""
    return Part(
        name=f"sav_{split}",
        frames=base / f"{IMAGES}_24fps",
        masks=base / f"{MASKS}_6fps",
        annotated="first",
        lists=(base / f"sav_{split}.txt",),
        objects=True,
    )


def burst_part(root: Path, split: str) -> Part:
    """Return a split of BURST: frames in DATASET/SEQUENCE; `masks` holds its annotation files."""
    return Part(name=split, frames=root / "frames" / split, masks=root / split, annotated="some")


def first_file(*paths: Path) -> Path | None:
    """Return the first of some files that is there."""
    return next((path for path in paths if path.is_file()), None)


def static_sets(root: Path) -> list[StaticSet]:
    """Return the sets of static pictures in a folder: itself, or each of its folders, flat or with classes."""
    if _has_pictures(root):
        return [StaticSet(name=root.resolve().name, folder=root, folders=(root,))]
    children = [root / name for name in subfolders(root)]
    flat = [child for child in children if _has_pictures(child)]
    classes = {child: [child / name for name in subfolders(child) if _has_pictures(child / name)] for child in children}
    if not any(classes.values()) and len(flat) > _MOST_SETS:  # so many are the classes of one set
        return [StaticSet(name=root.resolve().name, folder=root, folders=tuple(flat))]
    folders = {child: (child,) if child in flat else tuple(classes[child]) for child in children}
    return [StaticSet(name=child.name, folder=child, folders=found) for child, found in folders.items() if found]


def proposals_folder(frames: Path) -> Path:
    """Return where the proposals of the videos in `frames` (ROOT/JPEGImages or ROOT/JPEGImages/480p) lie."""
    if frames.parent.name == IMAGES:
        return frames.parent.parent / _PROPOSALS / frames.name
    return frames.parent / _PROPOSALS


def proposals_root(folder: Path, static: bool) -> Path:
    """Return the data set to which a folder of proposals belongs: of videos, or a `static` set's own folder."""
    if folder.name == _PROPOSALS or folder.parent.name == _PROPOSALS:
        return folder.parent.parent if folder.parent.name == _PROPOSALS else folder.parent
    # A few folders of pictures are taken for sets of their own, unless the folder above is given.
    classes = not any(folder.glob("*.jpg")) and len(subfolders(folder)) <= _MOST_SETS
    return folder.parent if classes and static else folder


def require_folder(path: Path, what: str, remedy: str) -> None:
    """Raise FileNotFoundError, with what it is and what to do, unless a folder exists."""
    if not path.is_dir():
        raise FileNotFoundError(f"{what}: folder {path} does not exist. {remedy}")


def _has_pictures(folder: Path) -> bool:
    return any(entry.suffix.lower() in (".jpg", ".jpeg") for entry in folder.iterdir())
