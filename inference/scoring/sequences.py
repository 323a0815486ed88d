"""Reading and scoring the masks of sequences, in this process or in several."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from inference.metrics import mask_scores
from inference.scoring.inputs import SequencePlan
from util.parallel.workers import map_processes
from util.run.progress import with_progress

J = TypeVar("J")
R = TypeVar("R")
# Of one object: "J" and "F", each a value for every scored frame, by the frame's name.
FrameValues = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """One sequence and how to score it; `from_entry`: an object counts only after the frame where it appears."""

    plan: SequencePlan
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
        gt = plan.gt.read(name)
        for key in gt.masks:
            entered.setdefault(key, index)
        if index == 0:
            continue
        pred = plan.pred.read(name)
        for key in pred.masks:
            predicted.setdefault(key, name)
        for key in {*gt.masks, *pred.masks}:
            scores[key, index] = mask_scores(gt.mask(key), pred.mask(key), job.bound_th)
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
    """Score all sequences, the results in the order of `jobs`; raises as `map_sequences` and `score_sequence`."""
    return map_sequences(score_sequence, jobs, [len(job.plan.scored) for job in jobs], workers, show_progress)


def map_sequences(
    function: Callable[[J], R], jobs: Sequence[J], frames: Sequence[int], workers: int = 0, show_progress: bool = False
) -> list[R]:
    """Return `function` of every job, in order.

    Args:
        function: what scores a job, importable.
        jobs: one a sequence, picklable.
        frames: how many frames each has.
        workers: processes to score with (0: none but this one).
        show_progress: whether to show a bar on stderr.

    Raises:
        ValueError: when `workers` is negative, and what `function` raises.
        ChildProcessError: when a process dies.
    """
    require_workers(workers)
    # Long sequences first: no process is left alone with one at the end.
    order = sorted(range(len(jobs)), key=lambda position: -frames[position])
    scored: Iterator[tuple[int, R]] = zip(
        order, map_processes(function, [jobs[position] for position in order], max(workers, 1)), strict=True
    )
    if show_progress:
        scored = with_progress(scored, sum(frames), "scoring", units=lambda pair: frames[pair[0]])
    results = dict(scored)
    return [results[position] for position in range(len(jobs))]


def require_workers(workers: int) -> None:
    """Raise ValueError for a negative number of processes."""
    if workers < 0:
        raise ValueError(f"workers must be 0 (no processes) or more, received {workers}.")
