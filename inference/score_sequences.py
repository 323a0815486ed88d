"""Reading and scoring the masks of sequences, in this process or in several."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import progressbar

from inference.metrics import mask_scores
from inference.score_inputs import SequencePlan
from util.palette import read_mask

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
        RuntimeError: when a process dies.
    """
    results: dict[int, SequenceScores] = {}
    with _progress(sum(len(job.plan.scored) for job in jobs), show_progress) as advance:
        for position, result in _in_processes(jobs, workers) if workers else _in_turn(jobs):
            results[position] = result
            advance(len(jobs[position].plan.scored))
    return [results[position] for position in range(len(jobs))]


def object_ids(ids_HW: np.ndarray) -> list[int]:
    """Return the ids above 0 that occur in a mask [H,W] of unsigned integers, in order."""
    return [int(key) for key in np.flatnonzero(np.bincount(ids_HW.ravel())) if key]


def _read_ids(path: Path, single_object: bool) -> np.ndarray:
    ids = read_mask(path)
    return (ids > 0).astype(np.uint8) if single_object else ids


def _in_turn(jobs: Sequence[ScoreJob]) -> Iterator[tuple[int, SequenceScores]]:
    for position, job in enumerate(jobs):
        yield position, score_sequence(job)


def _in_processes(jobs: Sequence[ScoreJob], workers: int) -> Iterator[tuple[int, SequenceScores]]:
    # Long sequences first: no process is left alone with one at the end.
    order = sorted(range(len(jobs)), key=lambda position: -len(jobs[position].plan.scored))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_start_worker)
    try:
        futures = {pool.submit(score_sequence, jobs[position]): position for position in order}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a scoring process ended unexpectedly: too little memory, or the calling script does its work without "
            'if __name__ == "__main__":. Use fewer workers, or workers=0.'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)  # the processes share the cores already


@contextmanager
def _progress(total: int, show: bool) -> Iterator[Callable[[int], None]]:
    if not show:
        yield lambda frames: None
        return
    with progressbar.ProgressBar(max_value=total, prefix="scoring ") as bar:
        yield lambda frames: bar.update(bar.value + frames)
