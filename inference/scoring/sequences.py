"""Reading and scoring the masks of sequences, in this process or in several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.metrics import mask_scores
from inference.scoring.inputs import SequencePlan
from util.files.palette import object_ids, read_mask
from util.parallel.workers import map_processes
from util.run.progress import with_progress

# Of one object: "J" and "F", each a value for every scored frame, by the frame's name.
FrameValues = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """One sequence and how to score it; `from_entry`: an object counts only after the frame where it appears."""

    plan: SequencePlan
    single_object: bool = False
    bound_th: float = 0.008
    from_entry: bool = False


@dataclass(frozen=True, kw_only=True)
class SequenceScores:
    """Per-frame values by object id, and predicted ids that the ground truth lacks with the first frame of each."""

    name: str
    frames: dict[int, FrameValues]
    unknown: dict[int, str]


def score_sequence(job: ScoreJob) -> SequenceScores:
    """Score one sequence, holding one pair of masks at a time.

    Raises:
        ValueError: for a file that holds no object ids.
    """
    plan = job.plan
    names = (plan.first, *plan.scored)
    entered: dict[int, int] = {}  # object -> index of the frame where the ground truth shows it first
    predicted: dict[int, str] = {}
    scores: dict[tuple[int, int], tuple[float, float]] = {}
    for index, name in enumerate(names):
        gt = _read_ids(plan.gt_dir / f"{name}.png", job.single_object)
        shown = object_ids(gt)
        for key in shown:
            entered.setdefault(key, index)
        if index == 0:
            continue
        pred = _read_ids(plan.pred_dir / f"{name}.png", job.single_object)
        found = object_ids(pred)
        for key in found:
            predicted.setdefault(key, name)
        for key in {*shown, *found}:
            scores[key, index] = mask_scores(gt == key, pred == key, job.bound_th)
    frames: dict[int, FrameValues] = {}
    for key in sorted(entered):
        first = entered[key] + 1 if job.from_entry else 1
        # Where neither mask shows the object, nothing was computed: two empty masks score 1.
        pairs = {names[index]: scores.get((key, index), (1.0, 1.0)) for index in range(max(first, 1), len(names))}
        if pairs:
            frames[key] = {
                "J": {name: j for name, (j, _) in pairs.items()},
                "F": {name: f for name, (_, f) in pairs.items()},
            }
    unknown = {key: name for key, name in sorted(predicted.items()) if key not in entered}
    return SequenceScores(name=plan.name, frames=frames, unknown=unknown)


def score_sequences(jobs: Sequence[ScoreJob], workers: int = 0, show_progress: bool = False) -> list[SequenceScores]:
    """Score all sequences, the results in the order of `jobs`; workers: processes (0: none but this one).

    Raises:
        ValueError: for a file that holds no object ids.
        ChildProcessError: when a process dies.
    """
    # Long sequences first: no process is left alone with one at the end.
    order = sorted(range(len(jobs)), key=lambda position: -len(jobs[position].plan.scored))
    longest_first = [jobs[position] for position in order]
    scored: Iterator[tuple[ScoreJob, SequenceScores]] = zip(
        longest_first, map_processes(score_sequence, longest_first, max(workers, 1)), strict=True
    )
    if show_progress:
        total = sum(len(job.plan.scored) for job in jobs)
        scored = with_progress(scored, total, "scoring", units=lambda pair: len(pair[0].plan.scored))
    results = dict(zip(order, (scores for _, scores in scored), strict=True))
    return [results[position] for position in range(len(jobs))]


def _read_ids(path: Path, single_object: bool) -> np.ndarray:
    ids = read_mask(path)
    return (ids > 0).astype(np.uint8) if single_object else ids
