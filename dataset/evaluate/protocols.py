"""Benchmarks: where their files lie, which masks are given, which results are wanted."""

import difflib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dataset.disk.frames import natural_key
from dataset.sample.sample import CHAIR, make_sample

logger = logging.getLogger(__name__)

# Which masks of a video are given: its first one; of each mask the objects that were not there before; every one.
MaskRule = Literal["first", "new", "every"]


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """The videos of one split of a benchmark and its rules.

    Attributes:
        dataset: the short name, for example d17.
        split: for example val.
        frames: the folder with a folder of frames for each video.
        annotations: the folder with a folder of masks for each video.
        videos: the videos' names in the order of the list.
        rule: which masks are given.
        mem_every: a frame is memorised every so many frames, in the published results.
        binary: everything that is not zero is one object, id 1.
        first_frame: every video needs a mask for its first frame.
        annotated_only: only frames with a mask are wanted.
        meta: the meta.json that lists the wanted frames of each object, if there is one.
        scored: whether `annotations` is a full ground truth that results can be scored against.
        archive: the layout of the archive that the benchmark's server takes, if there is one.
        metric: how results are scored, a row of `inference.scoring.table.METRICS`.
        metric_meta: the file that the metric reads beside the masks, for example lvos's valid_meta.json.
        metric_list: its list of names, for example lvos's unseen_videos.txt.
    """

    dataset: str
    split: str
    frames: Path
    annotations: Path
    videos: tuple[str, ...]
    rule: MaskRule
    mem_every: int = 5
    binary: bool = False
    first_frame: bool = False
    annotated_only: bool = False
    meta: Path | None = None
    scored: bool = False
    archive: Literal["davis", "youtube"] | None = None
    metric: str = "davis"
    metric_meta: Path | None = None
    metric_list: Path | None = None

    @property
    def name(self) -> str:
        """Data set and split in words."""
        return f"{self.dataset} {self.split}"


def find_evaluation_set(
    dataset: str, *, split: str = "val", root: str | os.PathLike[str] | None = None
) -> EvaluationSet:
    """Find the files of a benchmark's split; arguments and errors as `dataset.evaluate.video.open_dataset`."""
    key = resolve_dataset(dataset)
    place, splits, find = _BENCHMARKS[key]
    split = {"valid": "val", "testdev": "test-dev"}.get(split.lower(), split.lower())
    if split not in splits:
        raise ValueError(f"data set {key} has no split {split!r}; expected {' or '.join(splits)}.")
    path = Path(place if root is None else root)
    if key == "sample":
        make_sample(path)
    _require_folder(path, f"data set {key}", "Download it there or give its root.")
    return find(key, split, path)


def resolve_dataset(dataset: str) -> str:
    """Return the short name as we spell it; ValueError for an unknown one, with the valid ones, nearest first."""
    key = dataset.lower()
    if key in _BENCHMARKS:
        return key
    nearest = difflib.get_close_matches(key, DATASETS, n=len(DATASETS), cutoff=0.0)
    raise ValueError(f"unknown data set {dataset!r}; expected one of {', '.join(nearest)}.")


def _find_davis16(key: str, split: str, root: Path) -> EvaluationSet:
    frames = root / "JPEGImages" / "480p"
    _require_folder(frames, "DAVIS-2016", "The root is the folder that holds JPEGImages and Annotations.")
    ours, official = root / "ImageSets" / "2016" / f"{split}.txt", root / "ImageSets" / "480p" / f"{split}.txt"
    if ours.is_file():
        videos = _read_list(ours)
    elif official.is_file():  # its lines are pairs of file names: /JPEGImages/480p/bear/00000.jpg /Annotations/...
        videos = tuple(dict.fromkeys(line.split("/")[-2] for line in _frame_column(official)))
    else:
        videos = _folders(frames)
        logger.warning("no list %s: taking all %d videos in %s.", ours, len(videos), frames)
    return EvaluationSet(
        dataset=key,
        split=split,
        frames=frames,
        annotations=root / "Annotations" / "480p",
        videos=videos,
        rule="first",
        binary=True,
        first_frame=True,
        scored=True,
    )


def _find_davis17(key: str, split: str, root: Path) -> EvaluationSet:
    part = root / ("test-dev" if split == "test-dev" else "trainval")
    if not part.is_dir() and (root / "JPEGImages").is_dir():
        part = root
    names = part / "ImageSets" / "2017" / f"{split}.txt"
    _require_folder(part / "JPEGImages" / "480p", f"{key} {split}", "The root is the folder that holds trainval.")
    if not names.is_file():
        raise FileNotFoundError(f"list of videos {names} does not exist. It comes with the data set; or write it.")
    return EvaluationSet(
        dataset=key,
        split=split,
        frames=part / "JPEGImages" / "480p",
        annotations=part / "Annotations" / "480p",
        videos=_read_list(names),
        # The sample's late objects are given when they enter; in DAVIS all are there in the first frame.
        rule="new" if key == "sample" else "first",
        mem_every=3 if split == "test-dev" else 5,
        first_frame=True,
        scored=split != "test-dev",
        archive="davis",
    )


def _find_youtube(key: str, split: str, root: Path) -> EvaluationSet:
    part = "valid" if split == "val" else "test"
    sparse, every = root / part / "JPEGImages", root / "all_frames" / f"{part}_all_frames" / "JPEGImages"
    frames = every if every.is_dir() else sparse
    _require_folder(frames, f"{key} {split}", f"The root is the folder that holds {part}.")
    meta = root / part / "meta.json"
    if not meta.is_file():
        raise FileNotFoundError(f"{meta} does not exist: it lists the frames to write and comes with the data set.")
    return EvaluationSet(
        dataset=key,
        split=split,
        frames=frames,
        annotations=root / part / "Annotations",
        videos=tuple(sorted(required_frames(meta))),
        rule="new",
        meta=meta,
        archive="youtube",
        metric="youtube",
    )


def _find_long_videos(key: str, split: str, root: Path) -> EvaluationSet:
    part = root / ("long_video_x3" if key == "lv3" else "long_video")
    _require_folder(part / "JPEGImages", key, "The root is the folder that holds long_video and long_video_x3.")
    return EvaluationSet(
        dataset=key,
        split=split,
        frames=part / "JPEGImages",
        annotations=part / "Annotations",
        videos=_folders(part / "JPEGImages"),
        rule="first",
        mem_every=10 if key == "lv3" else 5,
        annotated_only=True,
        scored=True,
    )


def _find_generic(key: str, split: str, root: Path) -> EvaluationSet:
    frames = root / "JPEGImages"
    _require_folder(frames, "a generic data set", "The root is the folder that holds JPEGImages and Annotations.")
    return EvaluationSet(
        dataset=key,
        split=split,
        frames=frames,
        annotations=root / "Annotations",
        videos=_folders(frames),
        rule="every",
    )


def _find_packaged(key: str, split: str, root: Path) -> EvaluationSet:
    return replace(_find_generic(key, split, root), rule="first", first_frame=True, scored=True)


_Finder = Callable[[str, str, Path], EvaluationSet]
_BENCHMARKS: dict[str, tuple[str, tuple[str, ...], _Finder]] = {
    "d16": ("data/DAVIS/2016", ("val", "train"), _find_davis16),
    "d17": ("data/DAVIS/2017", ("val", "test-dev", "train"), _find_davis17),
    "y18": ("data/YouTube2018", ("val", "test"), _find_youtube),
    "y19": ("data/YouTube", ("val", "test"), _find_youtube),
    "lv1": ("data/long_video_set", ("val",), _find_long_videos),
    "lv3": ("data/long_video_set", ("val",), _find_long_videos),
    "g": ("data/generic", ("val",), _find_generic),
    "sample": ("data/sample", ("val", "train"), _find_davis17),
    "chair": (str(CHAIR), ("val",), _find_packaged),
}
DATASETS = tuple(_BENCHMARKS)


def required_frames(meta: Path) -> dict[str, set[str]]:
    """Return the frames of each video that YouTube-VOS's meta.json asks for (those of any of its objects).

    Raises:
        ValueError: when the file has another form.
    """
    try:
        videos = json.loads(meta.read_text())["videos"]
        return {
            name: {str(frame) for thing in video["objects"].values() for frame in thing["frames"]}
            for name, video in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{meta} is not a meta.json of YouTube-VOS: expected {{"videos": {{name: {{"objects": {{id: '
            f'{{"frames": [...]}}}}}}}}}} ({type(error).__name__}: {error}).'
        ) from error


def _read_list(path: Path) -> tuple[str, ...]:
    videos = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    if not videos:
        raise ValueError(f"list of videos {path} is empty: expected one name per line.")
    return videos


def _frame_column(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def _folders(path: Path) -> tuple[str, ...]:
    names = [entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    if not names:
        raise ValueError(f"no videos in {path}: expected a folder of frames for each video.")
    return tuple(sorted(names, key=natural_key))


def _require_folder(path: Path, what: str, remedy: str) -> None:
    if not path.is_dir():
        raise FileNotFoundError(f"{what}: folder {path} does not exist. {remedy}")
