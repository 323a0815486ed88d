"""MOSE v2's scores: J&F with a dot, disappearance and reappearance, as its repository's scorer computes them.

Ding et al., "MOSEv2", 2025. The scorer of the server was not seen; the paper's formulas were not compared.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from inference.metrics import boundary_within
from inference.report import Report, collect_report
from inference.scoring.inputs import ScoreTask, SequencePlan, plan_sequences, read_meta
from inference.scoring.masks import NoMasks
from inference.scoring.sequences import FrameValues, map_sequences, require_workers

logger = logging.getLogger(__name__)

COLUMNS = ("J&F_dot", "J", "F_dot", "F", "disappearance", "reappearance")
_BOUND = 0.008
_AREA_BOUND = 0.1
_MEASURES = ("J", "F_dot", "F")


@dataclass(frozen=True, kw_only=True)
class _Job:
    plan: SequencePlan
    objects: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class _Scores:
    frames: dict[int, FrameValues]
    visible: dict[int, list[bool]]


def score_mose2(task: ScoreTask) -> Report:
    """Score in MOSE v2's way; the columns are COLUMNS, and J, F_dot and F are there for each frame.

    The first and the last frame are not scored. J is (I + 1) / (U + 1): a total miss is not quite 0. F_dot matches
    boundaries within w pixels, F within c = 0.008 times the diagonal; w is a tenth of the root of the object's true
    area in that frame, rounded up, at most c. Where w reaches c, both use c without rounding, and the disk is then off
    its centre as in `metrics.boundary_within`; else F rounds c up.

    Disappearance is J&F_dot over runs of frames in which the object is not there (a run that starts at the first scored
    frame does not count), reappearance over the stretches that follow any such run, the first included: means over
    runs, then over the objects that have any.

    Objects are those of `task.meta`, MOSE's meta.json, else the ids that the ground truth shows in its first or any
    scored frame. Ids that only the prediction has cost nothing. The objects of a video without prediction score 0 in
    the first four columns.

    Raises:
        FileNotFoundError, ValueError: as `plan_sequences`, for a meta.json of another layout, and when there is no
            object.
    """
    require_workers(task.workers)
    plans = plan_sequences(
        task.truth, task.masks, sequences=task.sequences, single_object=task.single_object, allow_missing=True
    )
    objects = None if task.meta is None else read_objects(task.meta)
    unknown = [] if objects is None else [plan.name for plan in plans if plan.name not in objects]
    if unknown:
        raise ValueError(f"{task.meta} does not list {', '.join(unknown)}: give the meta.json of this ground truth.")
    missing = [plan.name for plan in plans if isinstance(plan.pred, NoMasks)]
    if missing:
        logger.warning("%s lacks %s, which count 0.", task.masks, ", ".join(missing))
    jobs = [_Job(plan=plan, objects=None if objects is None else objects[plan.name]) for plan in plans]
    frames = [len(plan.scored) for plan in plans]
    results = map_sequences(_score, jobs, frames, task.workers, task.show_progress)
    sequences = {
        plan.name: {
            key: dict.fromkeys(COLUMNS[:4], 0.0) if plan.name in missing else _figures(values, scores.visible[key])
            for key, values in scores.frames.items()
        }
        for plan, scores in zip(plans, results, strict=True)
    }
    values = {plan.name: scores.frames for plan, scores in zip(plans, results, strict=True)}
    return collect_report(sequences, values, COLUMNS)


def read_objects(meta: Path) -> dict[str, tuple[int, ...]]:
    """Return the ids of each video's objects in a meta.json of MOSE v2.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another layout.
    """

    def read(video: Any) -> tuple[int, ...]:
        return tuple(sorted(int(key) for key in video["objects"]))

    return read_meta(meta, read, '{"objects": [id, ...]}')


def frame_scores(gt: np.ndarray, pred: np.ndarray) -> tuple[float, float, float]:
    """Return J, F_dot and F of one pair of masks [H,W] bool."""
    area, union = int(np.count_nonzero(gt)), int(np.count_nonzero(gt | pred))
    jaccard = (int(np.count_nonzero(gt & pred)) + 1) / (union + 1)
    largest = _BOUND * float(np.linalg.norm(gt.shape))
    own = math.ceil(_AREA_BOUND * math.sqrt(area))  # without an area there is no boundary, and no radius matters
    if own >= largest:
        [same] = boundary_within(gt, pred, [largest])
        return jaccard, same, same
    dot, plain = boundary_within(gt, pred, [own, math.ceil(largest)])
    return jaccard, dot, plain


def _score(job: _Job) -> _Scores:
    plan = job.plan
    found: dict[tuple[int, int], tuple[float, float, float]] = {}
    shown = [set(plan.gt.read(plan.first).masks)] if job.objects is None else [set(job.objects)]
    for index, name in enumerate(plan.scored):
        gt, pred = plan.gt.read(name), plan.pred.read(name)
        shown.append(set(gt.masks))
        wanted = {*gt.masks, *pred.masks} if job.objects is None else {*gt.masks, *pred.masks} & set(job.objects)
        for key in wanted:
            found[key, index] = frame_scores(gt.mask(key), pred.mask(key))
    objects = sorted(set().union(*shown)) if job.objects is None else job.objects
    # Where neither mask shows the object, nothing was computed: two empty masks score 1.
    nothing = (1.0, 1.0, 1.0)
    frames = {
        key: {
            measure: {name: found.get((key, index), nothing)[m] for index, name in enumerate(plan.scored)}
            for m, measure in enumerate(_MEASURES)
        }
        for key in objects
    }
    return _Scores(frames=frames, visible={key: [key in ids for ids in shown[1:]] for key in objects})


def _figures(values: FrameValues, visible: Sequence[bool]) -> dict[str, float]:
    j, dot, f = (list(values[measure].values()) for measure in _MEASURES)
    both = [(a + b) / 2 for a, b in zip(j, dot, strict=True)]
    figures = {"J&F_dot": _mean(both), "J": _mean(j), "F_dot": _mean(dot), "F": _mean(f)}
    runs = [(there, [index for index, _ in run]) for there, run in groupby(enumerate(visible), lambda pair: pair[1])]
    for figure, wanted in (("disappearance", False), ("reappearance", True)):
        # A run at the first scored frame begins nothing.
        means = [_mean([both[i] for i in run]) for there, run in runs if there == wanted and run[0] > 0]
        if means:
            figures[figure] = _mean(means)
    return figures


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
