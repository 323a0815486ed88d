"""BURST's scores for exemplar-guided tracking: HOTA of masks by class, as its evaluation code computes it.

Athar et al., "BURST", WACV 2023.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as run_lengths

from inference.report import Report, collect_report
from inference.scoring.burst_files import BurstSequence, Frames, find_predictions, find_truth
from inference.scoring.hota import ALPHAS, Counts, FrameOverlap, count
from inference.scoring.inputs import ScoreTask
from inference.scoring.sequences import map_sequences, require_workers

logger = logging.getLogger(__name__)

COLUMNS = ("HOTA", "DetA", "AssA")
_MOST_IN_A_FRAME = 300
# Categories (LVIS's ids) that are annotated in BURST and not scored.
_DISTRACTORS = frozenset(
    {
        20, 63, 108, 180, 188, 204, 212, 247, 303, 403, 407, 415, 490, 504, 507, 513, 529, 567, 569, 588, 672, 691, 702,
        708, 711, 720, 736, 737, 798, 813, 815, 827, 831, 851, 877, 883, 912, 971, 976, 1130, 1133, 1134, 1169, 1184,
        1220,
    }
)  # fmt: skip
# Categories that count as another one; 967 thereby joins a distractor.
_MERGED = {153: 943, 201: 1175, 207: 554, 504: 347, 720: 347, 912: 529, 967: 529}
_COMMON = frozenset(
    {
        4, 13, 34, 35, 36, 41, 45, 58, 60, 78, 79, 81, 91, 95, 99, 118, 126, 133, 139, 154, 174, 185, 211, 221, 229,
        235, 237, 276, 299, 347, 371, 382, 392, 428, 429, 452, 475, 480, 502, 544, 579, 621, 625, 642, 699, 714, 717,
        729, 747, 779, 805, 829, 852, 896, 926, 937, 961, 979, 980, 982, 993, 1001, 1018, 1038, 1057, 1091, 1097, 1099,
        1115, 1117, 1122, 1132, 1135, 1144, 1155, 1162, 1215, 1229,
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Job:
    truth: BurstSequence
    predicted: Frames


def score_burst(task: ScoreTask) -> Report:
    """Score in BURST's way (`--task exemplar_guided`); the rows are classes, the columns COLUMNS.

    The ground truth is BURST's all_classes.json (`task.meta`, else `task.truth` or a file in it); the results are a
    JSON file of the same form, or masks as `inference.scoring.masks.open_masks` finds them, with a folder or file for
    each video named SEQUENCE or DATASET-SEQUENCE.

    HOTA is the mean over 19 overlaps. Per class all sequences are added up; the report's mean is that of the classes
    that the ground truth has, "HOTA-Common" and so on that of the 78 common ones and of the others. 45 categories of
    distractors are left out, some categories are joined. Tracks are matched by overlap, not by id: an id only gives a
    predicted track its class, that of the true track with this id, and a predicted track without one is dropped. All
    annotated frames count, the exemplar's too; frames without any true object are left out together with what is
    predicted there. An entry with an empty mask is a false detection. Of more than 300 masks in a frame those with the
    highest scores stay.

    Raises:
        FileNotFoundError: when a file or folder is missing.
        ValueError: for a file of another form or split, run lengths that cannot be read, frames that are missing in
            folders of masks, and when there is no class to score.
    """
    require_workers(task.workers)
    truth = find_truth(task)
    jobs = [_Job(truth=sequence, predicted=frames) for sequence, frames in find_predictions(task, truth)]
    results = map_sequences(_score, jobs, [len(job.truth.frames) for job in jobs], task.workers, task.show_progress)
    zero = Counts(*(np.zeros(len(ALPHAS)) for _ in range(4)))
    classes: dict[int, Counts] = {}
    for counts in results:
        for category, found in counts.items():
            classes[category] = classes.get(category, zero) + found
    figures = {
        truth.categories.get(category, str(category)): {category: classes[category].figures()}
        for category in sorted(classes)
    }
    report = collect_report(figures, {name: {} for name in figures}, COLUMNS)
    return replace(report, mean={**report.mean, **_groups(classes)}, unit="class", over="classes")


def _groups(classes: Mapping[int, Counts]) -> dict[str, float]:
    means: dict[str, float] = {}
    for kind, wanted in (("Common", True), ("Uncommon", False)):
        found = [counts.figures() for category, counts in classes.items() if (category in _COMMON) == wanted]
        if found:
            means |= {f"{key}-{kind}": sum(figures[key] for figures in found) / len(found) for key in COLUMNS}
    return means


def _score(job: _Job) -> dict[int, Counts]:
    """Return a sequence's counts by category."""
    category = {
        track: _MERGED.get(number, number)
        for track, number in job.truth.categories.items()
        if number not in _DISTRACTORS
    }
    shown = {track for frame in job.truth.frames.values() for track in frame if track in category}
    tracks: dict[int, set[int]] = {}
    for track in shown:
        if category[track] not in _DISTRACTORS:
            tracks.setdefault(category[track], set()).add(track)
    overlaps = [_overlap(job, name, set(category), shown) for name in job.truth.frames]
    overlaps = [frame for frame in overlaps if frame.true]
    return {number: count([_of(frame, members) for frame in overlaps]) for number, members in sorted(tracks.items())}


def _overlap(job: _Job, name: str, known: set[int], shown: set[int]) -> FrameOverlap:
    true = {track: mask for track, mask in job.truth.frames[name].items() if track in known}
    found = {track: mask for track, mask in job.predicted.get(name, {}).items() if track in shown}
    if len(found) > _MOST_IN_A_FRAME:
        best = sorted(found, key=lambda track: -found[track].score)[:_MOST_IN_A_FRAME]
        found = {track: found[track] for track in best}
    iou = np.zeros((len(true), len(found)))
    if true and found:
        size = list(job.truth.size)
        try:
            iou = run_lengths.iou(
                [{"size": size, "counts": mask.counts} for mask in true.values()],
                [{"size": size, "counts": mask.counts} for mask in found.values()],
                [False] * len(found),
            )
        except Exception as error:  # pycocotools raises whatever its C code meets
            raise ValueError(f"{job.truth.name}, frame {name}: run lengths cannot be read ({error}).") from error
    return FrameOverlap(tuple(true), tuple(found), np.asarray(iou, dtype=np.float64).reshape(len(true), len(found)))


def _of(frame: FrameOverlap, tracks: set[int]) -> FrameOverlap:
    rows = [index for index, track in enumerate(frame.true) if track in tracks]
    columns = [index for index, track in enumerate(frame.predicted) if track in tracks]
    true, predicted = (tuple(frame.true[i] for i in rows), tuple(frame.predicted[i] for i in columns))
    return FrameOverlap(true, predicted, frame.iou[np.ix_(rows, columns)])
