"""SA-V's scores: J&F of objects in folders of their own, as SA-V's evaluation code and vos-benchmark compute them.

Ravi et al., "SAM 2", 2024; github.com/hkchengrex/vos-benchmark.
"""

from dataclasses import dataclass

from dataset.disk.lists import subfolders
from inference.metrics import mask_scores
from inference.report import Report, collect_report
from inference.scoring.inputs import ScoreTask, SequencePlan, frame_problems, open_pair, pair_sequences, require_sound
from inference.scoring.masks import FrameMasks, MaskSet, PngMasks, SequenceMasks
from inference.scoring.sequences import FrameValues, map_sequences, require_workers

COLUMNS = ("J&F", "J", "F")


@dataclass(frozen=True, kw_only=True)
class _Job:
    plan: SequencePlan
    key: int | None


@dataclass(frozen=True)
class _OneObject(PngMasks):
    """A folder of binary masks: a PNG may hold one value besides 0, whatever it is."""

    def read(self, name: str) -> FrameMasks:
        """Read a file; ValueError for one with several objects."""
        frame = super().read(name)
        if len(frame.masks) > 1:
            raise ValueError(f"{self.place(name)} holds {len(frame.masks) + 1} values; expected one object and 0.")
        return FrameMasks(frame.size, dict(zip([1], frame.masks.values(), strict=False)))


def score_sav(task: ScoreTask) -> Report:
    """Score in SA-V's way; the columns are COLUMNS, and J and F are there for each frame.

    A video's folder holds a folder for each object, named by a number, with a binary mask for each annotated frame
    (everything that is not zero is the object; objects may overlap), or PNGs of ids as elsewhere. The first and the
    last annotated frame are not scored. J and F are DAVIS's; an object counts from the first scored frame in which
    ground truth or prediction shows it. Only ids that the ground truth shows in scored frames are averaged: surplus
    ones cost nothing. There is no void.

    Raises:
        FileNotFoundError, ValueError: as `plan_sequences`; for an object folder whose object is in no scored frame
            (SA-V's code stops there, too), whose name is no number, or a mask with several values.
    """
    require_workers(task.workers)
    gt, pred = open_pair(task.truth, task.masks)
    pairs, problems = pair_sequences(gt, pred, task.sequences)
    jobs = []
    for name, truth, masks in pairs:
        for key, of_object, found in _objects(gt, truth, masks):
            where = name if key is None else f"{name}, object {key:03d}"
            scored = tuple(of_object.names[1:-1])
            if not scored:
                problems.append(f"{where}: {len(of_object.names)} ground-truth frame(s) leave nothing to score")
            problems += [f"{where}: {problem}" for problem in frame_problems(of_object, found, scored)]
            plan = SequencePlan(name=name, gt=of_object, pred=found, first="", scored=scored)
            jobs.append(_Job(plan=plan, key=key))
    require_sound(gt, pred, problems)
    results = map_sequences(_score, jobs, [len(job.plan.scored) for job in jobs], task.workers, task.show_progress)
    frames: dict[str, dict[int, FrameValues]] = {}
    for job, values in zip(jobs, results, strict=True):
        frames.setdefault(job.plan.name, {}).update(values)
    figures = {name: {key: _figures(values) for key, values in objects.items()} for name, objects in frames.items()}
    return collect_report(figures, frames, COLUMNS)


def _objects(
    gt: MaskSet, truth: SequenceMasks, masks: SequenceMasks
) -> list[tuple[int | None, SequenceMasks, SequenceMasks]]:
    """Return what is scored by itself: the objects of a video, or the whole video where the PNGs hold ids."""
    if not gt.by_object:
        return [(None, truth, masks)]
    assert isinstance(truth, PngMasks)
    if not isinstance(masks, PngMasks):
        raise ValueError(f"{masks.where} is a file, but {truth.where} has a folder for each object: expected the same.")
    names = subfolders(truth.folder)
    strange = [name for name in names if not name.isdecimal()]
    if strange:
        raise ValueError(f"{truth.folder} holds {', '.join(strange)}; expected a folder for each object, 000, 001, ...")
    return [(int(name), _OneObject(truth.folder / name), _OneObject(masks.folder / name)) for name in names]


def _score(job: _Job) -> dict[int, FrameValues]:
    plan = job.plan
    found: dict[tuple[int, int], tuple[float, float]] = {}
    entered: dict[int, int] = {}
    true: set[int] = set()
    for index, name in enumerate(plan.scored):
        gt, pred = plan.gt.read(name), plan.pred.read(name)
        true |= set(gt.masks)
        for key in {*gt.masks, *pred.masks}:
            entered.setdefault(key, index)
            found[key, index] = mask_scores(gt.mask(key), pred.mask(key))
    if job.key is not None and not true:
        raise ValueError(
            f"{plan.gt.where} shows its object in no scored frame, which SA-V's scorer does not take either: leave the "
            "folder out."
        )
    values: dict[int, FrameValues] = {}
    for key in sorted(true):
        # Where neither mask shows an object that has entered, nothing was computed: two empty masks score 1.
        pairs = {plan.scored[i]: found.get((key, i), (1.0, 1.0)) for i in range(entered[key], len(plan.scored))}
        number = key if job.key is None else job.key
        values[number] = {m: {name: pair[i] for name, pair in pairs.items()} for i, m in enumerate(("J", "F"))}
    return values


def _figures(values: FrameValues) -> dict[str, float]:
    j, f = (sum(values[measure].values()) / len(values[measure]) for measure in ("J", "F"))
    return {"J&F": (j + f) / 2, "J": j, "F": f}
