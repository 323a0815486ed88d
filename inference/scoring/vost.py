"""VOST's scores: J over all frames and over the last quarter, as its evaluation code computes them.

Tokmakov et al., "Breaking the Object in Video Object Segmentation", CVPR 2023.
"""

from dataclasses import dataclass

from inference.metrics import region_similarity
from inference.report import Report, collect_report
from inference.scoring.inputs import ScoreTask, SequencePlan, plan_sequences
from inference.scoring.sequences import FrameValues, map_sequences, require_workers

COLUMNS = ("J", "J_tr")
_VOID = 255


@dataclass(frozen=True, kw_only=True)
class _Job:
    plan: SequencePlan


def score_vost(task: ScoreTask) -> Report:
    """Score in VOST's way; the columns are COLUMNS, and J is there for each frame.

    The first and the last annotated frame are not scored. J_tr is the mean from frame floor(0.75 n) of the n that are
    left, counted from 0. Objects are the ids from 1 to the largest in the first mask, those that it lacks included (two
    empty masks score 1); objects that enter later and ids that only the prediction has do not count. 255 is void: no
    object, but no shelter either, a prediction there is a false positive like any other.

    Raises:
        FileNotFoundError, ValueError: as `plan_sequences`, and when there is no object.
    """
    require_workers(task.workers)
    plans = plan_sequences(task.truth, task.masks, sequences=task.sequences, single_object=task.single_object)
    jobs = [_Job(plan=plan) for plan in plans]
    results = map_sequences(_score, jobs, [len(plan.scored) for plan in plans], task.workers, task.show_progress)
    frames = {plan.name: values for plan, values in zip(plans, results, strict=True)}
    figures = {name: {key: _figures(values) for key, values in objects.items()} for name, objects in frames.items()}
    return collect_report(figures, frames, COLUMNS)


def _score(job: _Job) -> dict[int, FrameValues]:
    plan = job.plan
    largest = max((key for key in plan.gt.read(plan.first).masks if key != _VOID), default=0)
    objects = range(1, largest + 1)
    values: dict[int, dict[str, float]] = {key: {} for key in objects}
    for name in plan.scored:
        gt, pred = plan.gt.read(name), plan.pred.read(name)
        for key in objects:
            # Id 255 is void in the ground truth even where a 16-bit first mask has larger ids.
            truth = gt.mask(0) if key == _VOID else gt.mask(key)
            values[key][name] = float(region_similarity(truth, pred.mask(key)))
    return {key: {"J": of_frames} for key, of_frames in values.items()}


def _figures(values: FrameValues) -> dict[str, float]:
    frames = list(values["J"].values())
    last = frames[len(frames) * 3 // 4 :]
    return {"J": sum(frames) / len(frames), "J_tr": sum(last) / len(last)}
