"""Benchmarks: a table with a row for each, which says where its files lie, which masks are given, what is wanted.

A new one is a row here and a finder in `splits` or `recent_splits`; a metric of its own is a row of
`inference.scoring.table.METRICS`.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dataset.disk.layout import require_folder
from dataset.disk.lists import read_video_list
from dataset.evaluate.files import Files, Query, VideoFiles
from dataset.evaluate.recent_splits import burst, lvos, mose, sav, vost
from dataset.evaluate.splits import davis_2016, davis_2017, generic, long_videos, youtube_vos
from dataset.sample.sample import CHAIR, make_sample

# Which masks of a video are given: its first one; of each mask the objects that were not there before; every one.
MaskRule = Literal["first", "new", "every"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a split.

    Attributes:
        rule: which masks are given.
        mem_every: a frame is memorised every so many frames, in the published results.
        binary: everything that is not zero is one object, id 1.
        first_frame: every video needs a mask for its first frame.
        annotated_only: only frames with a mask are wanted.
        size: pixels of the shorter side at which it is run.
        enlarge: videos with a shorter side below that are enlarged to it.
        scored: whether the masks are a full ground truth that results can be scored against.
        archive: what the benchmark's server takes, if there is one, see `inference.output.submission.pack_results`.
        metric: how results are scored, a row of `inference.scoring.table.METRICS`.
    """

    rule: MaskRule
    mem_every: int = 5
    binary: bool = False
    first_frame: bool = False
    annotated_only: bool = False
    scored: bool = False
    archive: Literal["davis", "youtube", "burst"] | None = None
    size: int = 480
    enlarge: bool = True
    metric: str = "davis"


@dataclass(frozen=True, kw_only=True)
class EvaluationSet(Rules):
    """The videos of one split of a benchmark, with its rules.

    Attributes:
        dataset: the short name, for example d17.
        split: for example val.
        frames: the folder with a folder of frames for each video.
        annotations: the folder with a folder of masks for each video.
        videos: the videos' names in the order of the list.
        files: where the frames and masks of each video are.
        meta: the file that lists the wanted frames or the given masks, if there is one.
        metric_meta: the file that the metric reads beside the masks, for example lvos's valid_meta.json.
        metric_list: its list of names, for example lvos's unseen_videos.txt.
    """

    dataset: str
    split: str
    frames: Path
    annotations: Path
    videos: tuple[str, ...]
    files: Callable[[str], VideoFiles]
    meta: Path | None = None
    metric_meta: Path | None = None
    metric_list: Path | None = None

    @property
    def name(self) -> str:
        """Data set and split in words."""
        return f"{self.dataset} {self.split}"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A row of the table.

    Attributes:
        root: the usual place of its files.
        find: finds the files of a split.
        splits: the rules of each split.
        made: makes the files where they are missing, if they can be made.
    """

    root: Path
    find: Callable[[Query], Files]
    splits: Mapping[str, Rules]
    made: Callable[[Path], object] | None = None


_DAVIS_2016 = Rules(rule="first", binary=True, first_frame=True, scored=True)
_DAVIS_2017 = Rules(rule="first", first_frame=True, scored=True, archive="davis")
_YOUTUBE = Rules(rule="new", archive="youtube", metric="youtube")
_LONG = Rules(rule="first", annotated_only=True, scored=True)
# The sample's late objects are given when they enter; in DAVIS all are there in the first frame.
_SAMPLE = replace(_DAVIS_2017, rule="new", enlarge=False)
# The server takes the masks of all frames, the first and the last included.
_MOSE = Rules(rule="first", first_frame=True, archive="davis")
_MOSE_2 = replace(_MOSE, metric="mose2")
# Objects, even the first one, may enter late: each one's first mask is given.
_LVOS = Rules(rule="new", scored=True, metric="lvos")
_VOST = Rules(rule="first", first_frame=True, scored=True, metric="vost")
_BURST = Rules(rule="new", scored=True, mem_every=10, size=600, archive="burst", metric="burst")
_SAV = Rules(rule="first", first_frame=True, annotated_only=True, scored=True, metric="sav")

BENCHMARKS: dict[str, Benchmark] = {
    "d16": Benchmark(root=Path("data/DAVIS/2016"), find=davis_2016, splits={"val": _DAVIS_2016, "train": _DAVIS_2016}),
    "d17": Benchmark(
        root=Path("data/DAVIS/2017"),
        find=davis_2017,
        splits={
            "val": _DAVIS_2017,
            "test-dev": replace(_DAVIS_2017, mem_every=3, scored=False),
            "train": _DAVIS_2017,
        },
    ),
    "y18": Benchmark(root=Path("data/YouTube2018"), find=youtube_vos, splits={"val": _YOUTUBE, "test": _YOUTUBE}),
    "y19": Benchmark(root=Path("data/YouTube"), find=youtube_vos, splits={"val": _YOUTUBE, "test": _YOUTUBE}),
    "lv1": Benchmark(root=Path("data/long_video_set"), find=long_videos, splits={"val": _LONG}),
    "lv3": Benchmark(root=Path("data/long_video_set"), find=long_videos, splits={"val": replace(_LONG, mem_every=10)}),
    "g": Benchmark(root=Path("data/generic"), find=generic, splits={"val": Rules(rule="every", enlarge=False)}),
    "sample": Benchmark(
        root=Path("data/sample"), find=davis_2017, splits={"val": _SAMPLE, "train": _SAMPLE}, made=make_sample
    ),
    "chair": Benchmark(root=CHAIR, find=generic, splits={"val": Rules(rule="first", first_frame=True, scored=True)}),
    "mose": Benchmark(root=Path("data/MOSE"), find=mose, splits={"val": _MOSE, "train": replace(_MOSE, scored=True)}),
    "mose2": Benchmark(
        root=Path("data/MOSEv2"), find=mose, splits={"val": _MOSE_2, "train": replace(_MOSE_2, scored=True)}
    ),
    "lvos": Benchmark(
        root=Path("data/LVOS"),
        find=lvos,
        splits={"val": _LVOS, "test": replace(_LVOS, scored=False, archive="youtube"), "train": _LVOS},
    ),
    "lvos2": Benchmark(
        root=Path("data/LVOSv2"),
        find=lvos,
        splits={"val": _LVOS, "test": replace(_LVOS, scored=False), "train": _LVOS},
    ),
    "vost": Benchmark(
        root=Path("data/VOST"),
        find=vost,
        splits={"val": _VOST, "test": replace(_VOST, scored=False), "train": _VOST},
    ),
    "burst": Benchmark(root=Path("data/BURST"), find=burst, splits={"val": _BURST, "test": _BURST}),
    "sav": Benchmark(root=Path("data/SA-V"), find=sav, splits={"val": _SAV, "test": _SAV}),
}
DATASETS = tuple(BENCHMARKS)


def choose_listed(evaluation: EvaluationSet, listed: Path | None, flag: str) -> EvaluationSet:
    """Keep the videos that a file names, one on each line; all without a file.

    Raises FileNotFoundError or ValueError, with the `flag` that gave the file, where there is none or a name is wrong.
    """
    if listed is None:
        return evaluation
    names = read_video_list(f"{flag}:", listed, evaluation.name, evaluation.videos.__contains__)
    return replace(evaluation, videos=tuple(names))


def find_evaluation_set(
    dataset: str, *, split: str = "val", root: str | os.PathLike[str] | None = None, sparse: bool = False
) -> EvaluationSet:
    """Find the files of a benchmark's split; arguments and errors as `dataset.evaluate.video.open_dataset`."""
    key = resolve_dataset(dataset)
    row = BENCHMARKS[key]
    split = _spelled(split)
    if split not in row.splits:
        raise ValueError(f"data set {key} has no split {split!r}; expected {' or '.join(row.splits)}.")
    path = row.root if root is None else Path(root)
    if row.made is not None:
        row.made(path)
    require_folder(
        path, f"data set {key}", "Give its place with --root, or get it: python scripts/download_datasets.py says how."
    )
    found = row.find(Query(dataset=key, split=split, root=path, sparse=sparse))
    assert found.part.masks is not None
    return EvaluationSet(
        **vars(row.splits[split]),
        dataset=key,
        split=split,
        frames=found.part.frames,
        annotations=found.part.masks,
        videos=found.videos,
        files=found.files,
        meta=found.meta,
        metric_meta=found.metric_meta,
        metric_list=found.metric_list,
    )


def published_rules(dataset: str, split: str) -> Rules:
    """Return the rules of a benchmark's split; the usual ones for one that does not exist."""
    row = BENCHMARKS.get(dataset.lower())
    rules = row.splits.get(_spelled(split)) if row is not None else None
    return rules or Rules(rule="every")


def _spelled(split: str) -> str:
    return {"valid": "val", "testdev": "test-dev"}.get(split.lower(), split.lower())


def resolve_dataset(dataset: str) -> str:
    """Return the short name as we spell it; ValueError for an unknown one, with the valid ones, nearest first."""
    key = dataset.lower()
    if key in BENCHMARKS:
        return key
    nearest = difflib.get_close_matches(key, BENCHMARKS, n=len(BENCHMARKS), cutoff=0.0)
    raise ValueError(f"unknown data set {dataset!r}; expected one of {', '.join(nearest)}.")
