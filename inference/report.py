"""Scoring folders of masks: ground truth and predictions in, a report with table, JSON and CSV out."""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.metrics import STATISTICS, summary
from inference.scoring.inputs import PathLike, plan_sequences, read_seen
from inference.scoring.sequences import FrameValues, ScoreJob, SequenceScores, require_workers, score_sequences
from util.files.atomic import atomic_write

logger = logging.getLogger(__name__)

_GROUPS = ("J-Seen", "J-Unseen", "F-Seen", "F-Unseen")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The scores of a set of sequences, all in 0..1 (decay in -1..1).

    `mean[key]` is the mean over all objects; `sequences[name][object_id][key]` are one object's figures, the keys being
    `columns`: those of `metrics.STATISTICS` ("J&F", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
    for DAVIS and YouTube-VOS, others for other metrics; an object may lack some. The per-frame values are
    `frames[name][object_id]["J" or "F"][frame_name]`. `mean` may also hold figures of groups of objects, for
    YouTube-VOS "G" and "J-Seen", "J-Unseen", "F-Seen", "F-Unseen" as far as there are such objects. `over` says in a
    word what `mean` is the mean over, `unit` what the keys of `sequences` are.
    """

    mean: dict[str, float]
    sequences: dict[str, dict[int, dict[str, float]]]
    frames: dict[str, dict[int, FrameValues]]
    columns: tuple[str, ...] = STATISTICS
    over: str = "objects"
    unit: str = "sequence"

    @property
    def groups(self) -> list[str]:
        """The figures of `mean` that are of groups of objects."""
        return [key for key in self.mean if key not in self.columns]

    def sequence_mean(self, name: str) -> dict[str, float]:
        """Return the mean over the objects of one sequence, by the keys of `columns`."""
        return mean_figures(list(self.sequences[name].values()), self.columns)


def score_folders(
    gt_root: PathLike,
    pred_root: PathLike,
    *,
    sequences: Sequence[str] | PathLike | None = None,
    single_object: bool = False,
    meta: PathLike | None = None,
    seen_categories: Sequence[str] | PathLike | None = None,
    bound_th: float = 0.008,
    workers: int = 0,
    show_progress: bool = False,
) -> Report:
    """Score the masks `pred_root/<sequence>/<frame>.png` against those of the same names in `gt_root`.

    Protocol. DAVIS by default: the first and the last frame of a sequence are skipped, every object counts in all other
    frames. With `single_object` (DAVIS-2016) every non-zero pixel is the one object, with id 1. With `meta`, a
    YouTube-VOS meta.json, an object counts in every annotated frame after the one in which it first appears, the last
    included, and J and F are averaged over the objects of seen and of unseen categories, G being the mean of the four;
    where one kind does not occur, of the other two. This fits a part of YouTube-VOS's training videos that was held
    out: their Annotations folder as `gt_root`, the list of held-out videos as `sequences`, the training meta.json as
    `meta`, and as `seen_categories` those of the videos that were trained on (see `scoring.inputs.read_seen`).

    Objects are the ids that the ground truth shows in its first or any scored frame; 255 is an id like others.
    A predicted id that the ground truth lacks is an error, as in the official DAVIS toolkit, which refuses ids above
    the largest true one; an object that is not predicted scores as an empty mask. Unlike there, objects that enter
    after the first frame are scored and gaps between the ids are not counted as objects (DAVIS has neither).

    `sequences`: a list of names, an ImageSets file, or None for all folders of `gt_root`. `workers`: processes to score
    with (started with "spawn"; a script that calls this needs its `if __name__ == "__main__"`), 0 for none.

    Raises:
        FileNotFoundError: when a folder or file is missing.
        ValueError: before any mask is read, naming all unknown sequences, missing frames and sizes that differ; later
            for masks that are no ids, for predicted ids that the ground truth lacks, for objects without a category.
    """
    require_workers(workers)
    plans = plan_sequences(gt_root, pred_root, sequences=sequences, skip_last=meta is None, single_object=single_object)
    seen = None if meta is None else read_seen(meta, seen_categories)
    jobs = [ScoreJob(plan=plan, bound_th=bound_th, from_entry=meta is not None) for plan in plans]
    results = score_sequences(jobs, workers, show_progress)
    _refuse_unknown_ids(results, Path(pred_root))
    return make_report({result.name: result.frames for result in results}, seen)


def make_report(frames: dict[str, dict[int, FrameValues]], seen: dict[str, dict[int, bool]] | None = None) -> Report:
    """Join per-frame values into a report; `seen[name][object_id]` says which objects are of a seen category.

    Raises:
        ValueError: when there is no object at all, or objects without a category.
    """
    sequences = {
        name: {key: summary(list(v["J"].values()), list(v["F"].values())) for key, v in objects.items()}
        for name, objects in frames.items()
    }
    require_objects(sequences)
    mean = mean_figures([figures for objects in sequences.values() for figures in objects.values()])
    if seen is not None:
        mean |= _seen_unseen(sequences, seen)
    return Report(mean=mean, sequences=sequences, frames=frames)


def collect_report(
    sequences: dict[str, dict[int, dict[str, float]]],
    frames: dict[str, dict[int, FrameValues]],
    columns: tuple[str, ...],
) -> Report:
    """Make a report of figures by sequence and object; the means are over all objects that have the figure.

    Raises:
        ValueError: when there is no object at all.
    """
    require_objects(sequences)
    mean = mean_figures([figures for objects in sequences.values() for figures in objects.values()], columns)
    return Report(mean=mean, sequences=sequences, frames=frames, columns=columns)


def require_objects(sequences: Mapping[str, Mapping[int, object]]) -> None:
    """Say which sequences have no object; raise ValueError if none has."""
    empty = [name for name, objects in sequences.items() if not objects]
    if len(empty) == len(sequences):
        raise ValueError("the ground truth shows no object in any scored sequence; expected masks with ids above 0.")
    if empty:
        logger.warning("no object to score in %s: left out of the mean.", ", ".join(empty))


def mean_figures(objects: Sequence[Mapping[str, float]], columns: Sequence[str] = STATISTICS) -> dict[str, float]:
    """Return each figure's mean over the objects that have it, by the keys of `columns`."""
    values = {key: [one[key] for one in objects if key in one] for key in columns}
    return {key: sum(found) / len(found) for key, found in values.items() if found}


def format_table(report: Report, objects: bool = False) -> str:
    """Return the report as aligned text, in percent: a row for each sequence (and object, if asked), then the mean."""
    rows = [[report.unit, "objects", *report.columns]]
    for name, figures in report.sequences.items():
        if figures:
            rows.append([name, str(len(figures)), *_percent(report.sequence_mean(name), report.columns)])
        if objects and len(figures) > 1:
            rows += [[f"  {name} / {key}", "", *_percent(values, report.columns)] for key, values in figures.items()]
    count = sum(len(figures) for figures in report.sequences.values())
    rows.append([f"mean over {report.over}", str(count), *_percent(report.mean, report.columns)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    groups = [f"{key} {100 * report.mean[key]:.1f}" for key in report.groups]
    return "\n".join(lines + (["  ".join(groups)] if groups else []))


def write_json(report: Report, path: PathLike) -> None:
    """Write the whole report, per-frame values included; `read_json` reads it.

    Raises:
        OSError: when the file cannot be written.
    """
    content = vars(report)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Report:
    """Read a report that `write_json` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"report {path} does not exist.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sequences = {n: {int(k): v for k, v in objects.items()} for n, objects in content["sequences"].items()}
        frames = {n: {int(k): v for k, v in objects.items()} for n, objects in content["frames"].items()}
        columns = tuple(content.get("columns", STATISTICS))
        words = {key: content[key] for key in ("over", "unit") if key in content}
        return Report(mean=content["mean"], sequences=sequences, frames=frames, columns=columns, **words)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a report of the scorer ({error!r}); score again.") from error


def write_csv(report: Report, path: PathLike) -> None:
    """Write a row for each object, each sequence and the whole, told apart by the column "level".

    Raises:
        OSError: when the file cannot be written.
    """
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns, blank = (*report.columns, *report.groups), [""] * len(report.groups)
        writer.writerow(["level", "sequence", "object", *columns])
        writer.writerow(["global", "", "", *(report.mean.get(key, "") for key in columns)])
        for name, objects in report.sequences.items():
            if objects:
                mean = report.sequence_mean(name)
                writer.writerow(["sequence", name, "", *(mean.get(key, "") for key in report.columns), *blank])
            for key, figures in objects.items():
                writer.writerow(["object", name, key, *(figures.get(k, "") for k in report.columns), *blank])


def _percent(figures: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    # Adding zero turns a rounded -0.0 into 0.0.
    return [f"{round(100 * figures[key], 1) + 0.0:.1f}" if key in figures else "-" for key in columns]


def _refuse_unknown_ids(results: Sequence[SequenceScores], pred_root: Path) -> None:
    wrong = [f"{r.name}: id {key} (first in frame {frame})" for r in results for key, frame in r.unknown.items()]
    if wrong:
        raise ValueError(
            f"{pred_root} holds ids that the ground truth lacks: {'; '.join(wrong)}. Expected the ids of the ground "
            "truth; give the objects those ids, or score all that is not zero as one object: --metric davis16."
        )


def _seen_unseen(
    sequences: dict[str, dict[int, dict[str, float]]], seen: dict[str, dict[int, bool]]
) -> dict[str, float]:
    objects = [(name, key) for name, figures in sequences.items() for key in figures]
    lacking = [f"{name} object {key}" for name, key in objects if key not in seen.get(name, {})]
    if lacking:
        raise ValueError(
            f"the meta.json names no category for {'; '.join(lacking)}. Expected every object of the scored sequences; "
            "give the meta.json that belongs to this ground truth."
        )
    groups: dict[str, list[float]] = {}
    for measure in ("J", "F"):
        for name, key in objects:
            group = f"{measure}-{'Seen' if seen[name][key] else 'Unseen'}"
            groups.setdefault(group, []).append(sequences[name][key][f"{measure}-Mean"])
    means = {group: sum(groups[group]) / len(groups[group]) for group in _GROUPS if group in groups}
    logger.info("%d of %d objects are of seen categories.", len(groups.get("J-Seen", [])), len(objects))
    return {"G": sum(means.values()) / len(means), **means}
