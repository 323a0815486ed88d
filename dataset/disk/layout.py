"""Which of the known layouts a folder of videos or pictures has, and where its parts lie."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataset.disk.frames import natural_key

# Which frames of a video have a mask: every one; the first at least; any, at least one; none (they lie elsewhere).
Annotated = Literal["every", "first", "some", "none"]
RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
_DAVIS_PLACES = ("", "trainval", "test-dev", "2016", "2017", "2017/trainval", "2017/test-dev")
_IMAGES, _MASKS = "JPEGImages", "Annotations"
# More folders of pictures than this are the classes of one set, not sets of their own.
MOST_SETS = 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """Videos that lie together.

    Attributes:
        name: where, below the root; for people.
        frames: holds a folder of frames for each video.
        masks: holds a folder of masks for each video; None if the part has no masks of its own.
        annotated: which frames have one.
        lists: files that name videos (one per line) or, in DAVIS-2016's first release, files.
        meta: YouTube-VOS's meta.json, there or missing; None if the layout has none.
    """

    name: str
    frames: Path
    masks: Path | None
    annotated: Annotated
    lists: tuple[Path, ...] = ()
    meta: Path | None = None

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
        return frozenset(line.strip() for path in tests for line in path.read_text().splitlines())


@dataclass(frozen=True, kw_only=True)
class StaticSet:
    """Pictures `x.jpg` with masks `x.png` beside them, in one folder or in a folder for each class."""

    name: str
    folders: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What lies in a root: its layout's name for people, and parts with videos or sets of static pictures."""

    name: str
    root: Path
    parts: tuple[Part, ...] = ()
    sets: tuple[StaticSet, ...] = ()


def find_layout(root: Path) -> Layout:
    """Find out which of the supported layouts `root` has: by folders, no file is opened.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it has none of the layouts.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"data set {root} does not exist: expected a folder. Check the path.")
    layout = _find(root)
    if layout is None:
        raise ValueError(_explain(root))
    return layout


def read_training_list(lists: Iterable[Path]) -> tuple[list[str], str] | None:
    """Read which videos of a DAVIS root are for training.

    Args:
        lists: its lists, `ImageSets/RELEASE/*.txt`, of which the newest release's train.txt counts.

    Returns:
        The videos' names in the list's order and the release: 2017, 2016 or 480p, which is the first release of 2016.
        None if there is no such list.
    """
    paths = {path.parent.name: path for path in lists if path.name == "train.txt"}
    for release in ("2017", "2016", "480p"):
        if release in paths:
            lines = [line.strip() for line in paths[release].read_text().splitlines() if line.strip()]
            if release == "480p":  # lines are "/JPEGImages/480p/bear/00000.jpg /Annotations/...", or names
                lines = [line.split()[0].split("/")[-2] if "/" in line else line for line in lines]
            return list(dict.fromkeys(lines)), release
    return None


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible folders in a folder, in natural order; none if it does not exist."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    return sorted(names, key=natural_key)


def _find(root: Path) -> Layout | None:
    for finder in (_davis, _youtube_or_mose, _long_videos, _videos):
        layout = finder(root)
        if layout is not None:
            return layout
    layout = _static(root)
    # Pictures alone are something else: a video's frames, photographs.
    return layout if layout is not None and _has_masks(layout) else None


def _davis(root: Path) -> Layout | None:
    parts = [part for place in _DAVIS_PLACES for part in _davis_parts(root, root / place)]
    if not parts:
        return None
    years = {"2017" if any(map(_is_2017, part.lists)) else "2016" for part in parts if part.lists}
    return Layout(name=f"DAVIS {' and '.join(sorted(years))}".strip(), root=root, parts=tuple(parts))


def _davis_parts(root: Path, base: Path) -> Iterator[Part]:
    lists = tuple(sorted(base.glob("ImageSets/*/*.txt")))
    only_tests = base.name == "test-dev" or (bool(lists) and all(path.stem.startswith("test") for path in lists))
    for resolution in RESOLUTIONS:
        frames, masks = base / _IMAGES / resolution, base / _MASKS / resolution
        if frames.is_dir() or masks.is_dir():
            yield Part(
                name=(base / resolution).relative_to(root).as_posix(),
                frames=frames,
                masks=masks,
                annotated="first" if only_tests else "every",
                # Lists of file names belong to the resolution that they are named after.
                lists=tuple(path for path in lists if path.parent.name in (resolution, "2016", "2017")),
            )


def _is_2017(path: Path) -> bool:
    return path.parent.name == "2017" or path.stem.startswith("test")


def _youtube_or_mose(root: Path) -> Layout | None:
    names = [name for name in ("train_480p", "train", "valid", "test") if (root / name / _IMAGES).is_dir()]
    every = [name for name in subfolders(root / "all_frames") if (root / "all_frames" / name / _IMAGES).is_dir()]
    if not names and not every:
        return None
    signs = (
        root / "train_480p",
        root / "all_frames",
        *(root / name / "meta.json" for name in ("train", "valid", "test")),
    )
    youtube = root.name.lower().startswith("youtube") or any(sign.exists() for sign in signs)
    parts = [_split(root / name, name, youtube) for name in names]
    for name in every:
        frames = root / "all_frames" / name / _IMAGES
        parts.append(Part(name=f"all_frames/{name}", frames=frames, masks=None, annotated="none"))
    return Layout(name="YouTube-VOS" if youtube else "MOSE", root=root, parts=tuple(parts))


def _split(folder: Path, name: str, youtube: bool) -> Part:
    training, meta = name.startswith("train"), folder / "meta.json"
    return Part(
        name=name,
        frames=folder / _IMAGES,
        masks=folder / _MASKS,
        annotated="every" if training else "some" if youtube else "first",
        # Smaller copies of the training set come without it, and only evaluation needs it.
        meta=meta if youtube and (not training or meta.is_file()) else None,
    )


def _long_videos(root: Path) -> Layout | None:
    names = [name for name in ("long_video", "long_video_x3") if (root / name / _IMAGES).is_dir()]
    parts = [
        Part(name=name, frames=root / name / _IMAGES, masks=root / name / _MASKS, annotated="some") for name in names
    ]
    return Layout(name="LongVideo", root=root, parts=tuple(parts)) if parts else None


def _videos(root: Path) -> Layout | None:
    frames, masks = root / _IMAGES, root / _MASKS
    if not frames.is_dir() and not masks.is_dir():
        return None
    if (root / "meta.json").is_file():
        return Layout(name="YouTube-VOS", root=root, parts=(_split(root, root.resolve().name, True),))
    synthetic = root.resolve().name.lower().startswith("bl30k")
    part = Part(name=".", frames=frames, masks=masks, annotated="every" if synthetic else "some")
    return Layout(name="BL30K" if synthetic else "generic", root=root, parts=(part,))


def _static(root: Path) -> Layout | None:
    if _has_pictures(root):
        return Layout(name="static pictures", root=root, sets=(StaticSet(name=root.name, folders=(root,)),))
    children = [root / name for name in subfolders(root)]
    if any((child / _IMAGES).is_dir() for child in (*children, *root.glob("*/*"))):
        return None  # a folder of several data sets, of which one could be static
    flat = [child for child in children if _has_pictures(child)]
    classes = {child: [child / name for name in subfolders(child) if _has_pictures(child / name)] for child in children}
    if not any(classes.values()) and len(flat) > MOST_SETS:
        return Layout(name="static pictures", root=root, sets=(StaticSet(name=root.name, folders=tuple(flat)),))
    folders = {child: (child,) if child in flat else tuple(classes[child]) for child in children}
    sets = tuple(StaticSet(name=child.name, folders=found) for child, found in folders.items() if found)
    return Layout(name="static pictures", root=root, sets=sets) if sets else None


def _has_pictures(folder: Path) -> bool:
    return any(entry.suffix.lower() in (".jpg", ".jpeg") for entry in folder.iterdir())


def _has_masks(layout: Layout) -> bool:
    return any(next(folder.glob("*.png"), None) for entry in layout.sets for folder in entry.folders)


def _explain(root: Path) -> str:
    names = sorted(entry.name for entry in root.iterdir())
    found = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
    below = [name for name in subfolders(root) if _find(root / name) is not None]
    remedy = f"Give one of {', '.join(str(root / name) for name in below[:4])}" if below else "Check the path"
    return (
        f"{root} has none of the layouts: expected JPEGImages and Annotations (DAVIS, BL30K, generic), train or valid "
        f"(YouTube-VOS, MOSE), long_video, or pictures x.jpg with x.png; found {found}. {remedy}."
    )
