"""Scoring any two places with masks: which metric fits them, and what they were taken for."""

from pathlib import Path
from typing import Any

from dataset.disk.meta import read_json
from inference.report import Report
from inference.scoring.inputs import ScoreTask
from inference.scoring.masks import MaskSet, open_masks
from inference.scoring.table import find_metric


def score_pair(task: ScoreTask, metric: str | None = None) -> tuple[Report, list[str]]:
    """Score `task.masks` against `task.truth`; returns the report and, in lines, what the two were taken for.

    Args:
        task: the two places, as `inference.scoring.masks.open_masks` takes them or files in BURST's form, and what the
            metric wants besides.
        metric: a row of the table; None: the one that fits the files (see `guess_metric`).

    Raises:
        FileNotFoundError, ValueError: as the metric does, for an unknown metric, and for one that lacks its meta.json.
    """
    name = guess_metric(task) if metric is None else metric
    row = find_metric(name)
    if row.meta is not None and task.meta is None:
        raise ValueError(f"--metric {name} needs --meta, its {row.meta}.")
    lines = [
        f"truth {task.truth}: {describe(task.truth, 'ground truth')}",
        f"masks {task.masks}: {describe(task.masks, 'predictions')}",
        f"metric {name}: {row.words}",
    ]
    return row.score(task), lines


def guess_metric(task: ScoreTask) -> str:
    """Return the metric that the files speak for: by the form of the meta.json or of the ground truth, else davis."""
    if task.meta is not None:
        objects = _first_objects(_read(task.meta))
        if isinstance(objects, list):
            return "mose2"
        thing: Any = next(iter(objects.values()), {}) if isinstance(objects, dict) else {}
        if isinstance(thing, dict) and "frame_range" in thing:
            return "lvos"
        if isinstance(thing, dict) and "category" in thing:
            return "youtube"
        if "sequences" in _read(task.meta):
            return "burst"
        raise ValueError(
            f"{task.meta} is no meta.json of YouTube-VOS, MOSE v2 or LVOS, nor BURST's file: name the --metric."
        )
    if _is_burst(task.truth):
        return "burst"
    return "sav" if open_masks(task.truth, "ground truth").by_object else "davis"


def describe(place: Path, what: str) -> str:
    """Say in words how masks lie at a place; raises as `open_masks`."""
    if _is_burst(place):
        return "a file in BURST's form"
    found: MaskSet = open_masks(place, what)
    count = len(found.sequences)
    below = f" in {found.root}" if found.root != place else ""
    return f"{found.layout}{below}" if count == 1 and found.alone else f"{count} videos, {found.layout}{below}"


def _is_burst(place: Path) -> bool:
    if place.is_dir() and (place / "all_classes.json").is_file():
        return True
    return place.is_file() and place.suffix == ".json" and "sequences" in _read(place)


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, "the JSON file that goes with masks")
    return content if isinstance(content, dict) else {}


def _first_objects(content: dict[str, Any]) -> object:
    videos = content.get("videos")
    video = next(iter(videos.values()), None) if isinstance(videos, dict) else None
    return video.get("objects") if isinstance(video, dict) else None
