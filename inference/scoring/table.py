"""The table of metrics: how the results of a benchmark are scored, by name."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.report import Report, score_folders


@dataclass(frozen=True, kw_only=True)
class ScoreTask:
    """What is to be scored.

    Attributes:
        truth: the ground truth.
        masks: the results, laid out like it.
        sequences: the names of the videos that count; None for all that `truth` has.
        single_object: everything that is not zero is one object, id 1.
        meta: the file that the metric reads beside the masks, for example a meta.json.
        names: the metric's list of names, for example the seen categories.
        workers: processes to score with, 0 for none but this one.
        show_progress: whether to show a bar on stderr.
    """

    truth: Path
    masks: Path
    sequences: Sequence[str] | None = None
    single_object: bool = False
    meta: Path | None = None
    names: Path | None = None
    workers: int = 0
    show_progress: bool = False


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A row of the table.

    Attributes:
        words: what it measures, in a line.
        score: from the task to the report.
        meta: what `ScoreTask.meta` must be, if the metric needs it.
    """

    words: str
    score: Callable[[ScoreTask], Report]
    meta: str | None = None


def _davis(task: ScoreTask) -> Report:
    return score_folders(
        task.truth,
        task.masks,
        sequences=task.sequences,
        single_object=task.single_object,
        workers=task.workers,
        show_progress=task.show_progress,
    )


def _youtube(task: ScoreTask) -> Report:
    return score_folders(
        task.truth,
        task.masks,
        sequences=task.sequences,
        meta=task.meta,
        seen_categories=task.names,
        workers=task.workers,
        show_progress=task.show_progress,
    )


METRICS = {
    "davis": Metric(words="J&F without the first and the last frame, mean over objects", score=_davis),
    "youtube": Metric(
        words="J and F of seen and unseen categories after an object's first frame", score=_youtube, meta="meta.json"
    ),
}


def find_metric(name: str) -> Metric:
    """Return a row of the table; ValueError for an unknown name, with the valid ones, nearest first."""
    if name in METRICS:
        return METRICS[name]
    nearest = difflib.get_close_matches(name, METRICS, n=len(METRICS), cutoff=0.0)
    raise ValueError(f"unknown metric {name!r}; expected one of {', '.join(nearest)}.")
