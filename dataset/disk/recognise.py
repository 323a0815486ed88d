"""Which of the known data sets a folder holds, and of which parts it consists."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dataset.disk.layout import (
    IMAGES,
    RESOLUTIONS,
    Part,
    StaticSet,
    burst_part,
    davis_part,
    long_video_part,
    lvos_part,
    mose_part,
    plain_part,
    sav_base,
    sav_part,
    static_sets,
    vost_part,
    youtube_part,
)
from dataset.disk.lists import subfolders
from dataset.disk.sav import masklet_files

_DAVIS_PLACES = ("", "trainval", "test-dev", "2016", "2017", "2017/trainval", "2017/test-dev")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What lies in a root.

    Attributes:
        name: the layout's, for people.
        root: the folder.
        parts: of videos.
        sets: of static pictures.
        annotations: BURST's files of run lengths.
        films: SA-V's training annotations, one for each film.
    """

    name: str
    root: Path
    parts: tuple[Part, ...] = ()
    sets: tuple[StaticSet, ...] = ()
    annotations: tuple[Path, ...] = ()
    films: tuple[Path, ...] = ()


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


def _find(root: Path) -> Layout | None:
    for finder in (_davis, _sav, _burst, _vost, _lvos, _youtube_or_mose, _long_videos, _videos):
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
    for resolution in RESOLUTIONS:
        part = davis_part(base, resolution, name=(base / resolution).relative_to(root).as_posix())
        if part.frames.is_dir() or (part.masks is not None and part.masks.is_dir()):
            yield part


def _is_2017(path: Path) -> bool:
    return path.parent.name == "2017" or path.stem.startswith("test")


def _sav(root: Path) -> Layout | None:
    splits = [(sav_base(root, split), split) for split in ("val", "test")]
    parts = tuple(part for base, split in splits if (part := sav_part(base, split)).lists[0].is_file())
    films = tuple(masklet_files(root) or masklet_files(root / "sav_train"))
    return Layout(name="SA-V", root=root, parts=parts, films=films) if parts or films else None


def _burst(root: Path) -> Layout | None:
    parts, annotations = [], []
    for split in subfolders(root / "frames"):
        of_split = burst_part(root, split)
        assert of_split.masks is not None
        found = sorted(of_split.masks.glob("*.json"))
        annotations += found
        if found:
            names = subfolders(of_split.frames)
            parts += [replace(of_split, name=f"{split}/{name}", frames=of_split.frames / name) for name in names]
    without = tuple(replace(part, masks=None, annotated="none") for part in parts)
    return Layout(name="BURST", root=root, parts=without, annotations=tuple(annotations)) if parts else None


def _vost(root: Path) -> Layout | None:
    part = vost_part(root)
    lists = tuple(path for path in part.lists if path.is_file() and path.stem != "test")  # whose videos are kept back
    return Layout(name="VOST", root=root, parts=(replace(part, lists=lists),)) if lists else None


def _lvos(root: Path) -> Layout | None:
    parts = [lvos_part(root / name) for name in ("train", "valid", "val", "test") if (root / name / IMAGES).is_dir()]
    named = any(part.meta is not None and part.meta.is_file() for part in parts)
    if not named and not (parts and root.resolve().name.lower().startswith("lvos")):
        return None
    return Layout(name="LVOS", root=root, parts=tuple(parts))


def _youtube_or_mose(root: Path) -> Layout | None:
    names = [name for name in ("train_480p", "train", "valid", "test") if (root / name / IMAGES).is_dir()]
    every = [name for name in subfolders(root / "all_frames") if (root / "all_frames" / name / IMAGES).is_dir()]
    if not names and not every:
        return None
    signs = (
        root / "train_480p",
        root / "all_frames",
        *(root / name / "meta.json" for name in ("train", "valid", "test")),
    )
    youtube = root.name.lower().startswith("youtube") or any(sign.exists() for sign in signs)
    parts = [youtube_part(root / name) if youtube else mose_part(root / name) for name in names]
    for name in every:
        frames = root / "all_frames" / name / IMAGES
        parts.append(Part(name=f"all_frames/{name}", frames=frames, masks=None, annotated="none"))
    return Layout(name="YouTube-VOS" if youtube else "MOSE", root=root, parts=tuple(parts))


def _long_videos(root: Path) -> Layout | None:
    names = [name for name in ("long_video", "long_video_x3") if (root / name / IMAGES).is_dir()]
    parts = tuple(long_video_part(root, name) for name in names)
    return Layout(name="LongVideo", root=root, parts=parts) if parts else None


def _videos(root: Path) -> Layout | None:
    part = plain_part(root, "every" if root.resolve().name.lower().startswith("bl30k") else "some")
    if not part.frames.is_dir() and (part.masks is None or not part.masks.is_dir()):
        return None
    if (root / "meta.json").is_file():
        return Layout(name="YouTube-VOS", root=root, parts=(youtube_part(root),))
    return Layout(name="BL30K" if part.annotated == "every" else "generic", root=root, parts=(part,))


def _static(root: Path) -> Layout | None:
    children = [] if any(root.glob("*.jpg")) else [root / name for name in subfolders(root)]
    if any((child / IMAGES).is_dir() for child in (*children, *(root.glob("*/*") if children else ()))):
        return None  # a folder of several data sets, of which one could be static
    sets = tuple(static_sets(root))
    return Layout(name="static pictures", root=root, sets=sets) if sets else None


def _has_masks(layout: Layout) -> bool:
    return any(next(folder.glob("*.png"), None) for entry in layout.sets for folder in entry.folders)


def _explain(root: Path) -> str:
    names = sorted(entry.name for entry in root.iterdir())
    found = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
    below = [name for name in subfolders(root) if _find(root / name) is not None]
    remedy = f"Give one of {', '.join(str(root / name) for name in below[:4])}" if below else "Check the path"
    return (
        f"{root} has none of the layouts: expected JPEGImages and Annotations (DAVIS, VOST, BL30K, generic), train or "
        "valid (YouTube-VOS, MOSE, LVOS), long_video, frames (BURST), sav_val (SA-V), or pictures x.jpg with x.png; "
        f"found {found}. {remedy}."
    )
