"""The table of metrics: how the results of a benchmark are scored, by name."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from inference.report import Report, score_folders
from inference.scoring.burst import score_burst
from inference.scoring.inputs import ScoreTask
from inference.scoring.lvos import score_lvos
from inference.scoring.mose2 import score_mose2
from inference.scoring.sav import score_sav
from inference.scoring.vost import score_vost

__all__ = ["METRICS", "Metric", "ScoreTask", "find_metric"]


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


def _davis16(task: ScoreTask) -> Report:
    return _davis(replace(task, single_object=True))


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
    "davis16": Metric(words="the same, everything that is not zero being one object", score=_davis16),
    "youtube": Metric(
        words="J and F of seen and unseen categories after an object's first frame", score=_youtube, meta="meta.json"
    ),
    "mose2": Metric(words="J&F with a dot, disappearance and reappearance", score=score_mose2),
    "lvos": Metric(words="J and F of seen and unseen videos, V", score=score_lvos),
    "vost": Metric(words="J over all frames and over the last quarter", score=score_vost),
    "burst": Metric(words="HOTA of masks by class", score=score_burst),
    "sav": Metric(words="J&F of objects from where they appear, each in a folder of its own or not", score=score_sav),
}


def find_metric(name: str) -> Metric:
    """Return a row of the table; ValueError for an unknown name, with the valid ones, nearest first."""
    if name in METRICS:
        return METRICS[name]
    nearest = difflib.get_close_matches(name, METRICS, n=len(METRICS), cutoff=0.0)
    raise ValueError(f"unknown metric {name!r}; expected one of {', '.join(nearest)}.")
