"""LVOS's scores: J and F of seen and unseen videos, and V, as its evaluation code computes them.

Hong et al., "LVOS", ICCV 2023; version 2: arXiv:2404.19326.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataset.disk.lists import read_lines
from inference.metrics import mask_scores
from inference.report import Report, collect_report
from inference.scoring.inputs import (
    ScoreTask,
    SequencePlan,
    frame_problems,
    open_pair,
    pair_sequences,
    read_meta,
    require_sound,
)
from inference.scoring.sequences import FrameValues, map_sequences, require_workers

logger = logging.getLogger(__name__)

COLUMNS = ("J&F", "J", "F", "V")
_STEP = 5
_UNSEEN = "unseen_videos.txt"


@dataclass(frozen=True, kw_only=True)
class FrameRange:
    """The frames of an object in LVOS's meta.json: numbers, `end` being the last, and how many there are."""

    start: int
    end: int
    count: int

    @property
    def scored(self) -> tuple[str, ...]:
        """The names of the frames that count: every fifth, without the first and the last."""
        numbers = list(range(self.start, self.end, _STEP))
        return tuple(f"{number:08d}" for index, number in enumerate(numbers) if 0 < index != self.count - 1)


@dataclass(frozen=True, kw_only=True)
class _Job:
    plan: SequencePlan
    objects: dict[int, tuple[str, ...]]


def score_lvos(task: ScoreTask) -> Report:
    """Score in LVOS's way; the columns are COLUMNS, and J and F are there for each frame.

    `task.meta` is the meta.json with each object's range of frames (default: the one beside the ground truth), of which
    every fifth counts, without the first and the last; `task.names` is the list of unseen videos (default:
    unseen_videos.txt beside the meta.json or the ground truth). J and F are DAVIS's, without void. V is the standard
    deviation of an object's J&F over its frames, from a variance rounded to four places.

    The means over the objects of seen and of unseen videos are "J-Seen", "J-Unseen" and so on; of these, "J", "F" and
    "V" of the report's mean are the means of two, and J&F of four. Where one kind does not occur, the other stands
    alone (LVOS's code prints nan). Frames that a wrong `frame_nums` promises count 0, as there; objects of fewer than
    three frames, which crash it or make it print nan, are left out.

    Raises:
        FileNotFoundError: when a folder, the meta.json or the list is missing.
        ValueError: as `plan_sequences`; for a meta.json of another layout; when there is no object.
    """
    require_workers(task.workers)
    gt, pred = open_pair(task.truth, task.masks, single_object=task.single_object)
    meta = find_meta(task, gt.root)
    ranges, unseen = read_ranges(meta), _read_unseen(task, meta, gt.root)
    pairs, problems = pair_sequences(gt, pred, list(ranges) if task.sequences is None else task.sequences)
    jobs = []
    for name, truth, masks in pairs:
        if name not in ranges:
            problems.append(f"{name}: {meta} does not list it")
            continue
        objects = {key: frames.scored for key, frames in ranges[name].items() if frames.count >= 3}
        if len(objects) < len(ranges[name]):
            logger.warning("%s: objects of fewer than three frames are left out.", name)
        problems += [f"{name}: {problem}" for problem in _range_problems(ranges[name])]
        scored = tuple(sorted({frame for frames in objects.values() for frame in frames}))
        problems += [f"{name}: {problem}" for problem in frame_problems(truth, masks, scored)]
        plan = SequencePlan(name=name, gt=truth, pred=masks, first="", scored=scored)
        jobs.append(_Job(plan=plan, objects=objects))
    require_sound(gt, pred, problems)
    results = map_sequences(_score, jobs, [len(job.plan.scored) for job in jobs], task.workers, task.show_progress)
    frames = {job.plan.name: values for job, values in zip(jobs, results, strict=True)}
    figures = {
        name: {key: _figures(values, ranges[name][key].count - 2) for key, values in objects.items()}
        for name, objects in frames.items()
    }
    return _with_groups(collect_report(figures, frames, COLUMNS), unseen)


def find_meta(task: ScoreTask, root: Path) -> Path:
    """Return the task's meta.json, else the only one beside the ground truth at `root`; FileNotFoundError for none."""
    if task.meta is not None:
        return task.meta
    found = sorted(root.parent.glob("*_meta.json"))
    if len(found) != 1:
        raise FileNotFoundError(
            f"LVOS's scores need the meta.json with each object's range of frames; {root.parent} holds {len(found)} "
            "named *_meta.json. Give it with --meta."
        )
    return found[0]


def read_ranges(meta: Path) -> dict[str, dict[int, FrameRange]]:
    """Return every video's objects and their ranges of frames in LVOS's meta.json.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another layout.
    """

    def read(video: Any) -> dict[int, FrameRange]:
        return {int(key): _range(thing["frame_range"]) for key, thing in video["objects"].items()}

    return read_meta(meta, read, '{"objects": {id: {"frame_range": {"start", "end", "frame_nums"}}}}')


def _range(found: Mapping[str, str]) -> FrameRange:
    return FrameRange(start=int(found["start"]), end=int(found["end"]), count=int(found["frame_nums"]))


def _read_unseen(task: ScoreTask, meta: Path, root: Path) -> set[str]:
    places = [task.names] if task.names else [folder / _UNSEEN for folder in (meta.parent, root, root.parent)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"list of unseen videos {places[0]} does not exist. It comes with LVOS's evaluation code, a name on each "
            "line; an empty file scores all videos as seen."
        )
    return set(read_lines(path))


def _range_problems(ranges: dict[int, FrameRange]) -> list[str]:
    return [
        f"object {key}: {len(found.scored)} frames count from {found.start} to {found.end}, but frame_nums "
        f"{found.count} leaves room for {found.count - 2}"
        for key, found in ranges.items()
        if found.count >= 3 and len(found.scored) > found.count - 2
    ]


def _score(job: _Job) -> dict[int, FrameValues]:
    values: dict[int, FrameValues] = {key: {"J": {}, "F": {}} for key in job.objects}
    wanted = {key: set(frames) for key, frames in job.objects.items()}
    for name in job.plan.scored:
        gt, pred = job.plan.gt.read(name), job.plan.pred.read(name)
        for key, frames in wanted.items():
            if name in frames:
                j, f = mask_scores(gt.mask(key), pred.mask(key))
                values[key]["J"][name], values[key]["F"][name] = j, f
    return values


def _figures(values: FrameValues, count: int) -> dict[str, float]:
    j, f = ([*values[measure].values(), *[0.0] * (count - len(values[measure]))] for measure in ("J", "F"))
    both = [(a + b) / 2 for a, b in zip(j, f, strict=True)]
    mean = sum(both) / count
    variance = round(sum((mean - value) ** 2 for value in both) / count, 4)
    return {"J&F": mean, "J": sum(j) / count, "F": sum(f) / count, "V": math.sqrt(variance)}


def _with_groups(report: Report, unseen: set[str]) -> Report:
    groups: dict[str, float] = {}
    for measure in ("J", "F", "V"):
        for kind, wanted in (("Seen", False), ("Unseen", True)):
            found = [
                figures[measure]
                for name, objects in report.sequences.items()
                for figures in objects.values()
                if (name in unseen) == wanted
            ]
            if found:
                groups[f"{measure}-{kind}"] = _mean(found)
    means = {m: _mean([value for key, value in groups.items() if key.startswith(f"{m}-")]) for m in ("J", "F", "V")}
    mean = {"J&F": (means["J"] + means["F"]) / 2, **means, **groups}
    return replace(report, mean=mean, over="seen, unseen")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
