"""What a metric is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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
    sequences: Sequence[str] | Path | None = None
    single_object: bool = False
    meta: Path | None = None
    names: Path | None = None
    workers: int = 0
    show_progress: bool = False
