"""What is to be scored: sequences, frames and categories, all of them checked before any mask is read."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataset.disk.lists import read_lines, read_names
from dataset.disk.meta import read_json, read_objects
from inference.scoring.masks import MaskSet, NoMasks, PathLike, SequenceMasks, open_masks
from util.files.picture import MOST_PIXELS

T = TypeVar("T")
MOST_SHOWN = 10  # problems of a message
_SEEN = {"seen": True, "unseen": False}


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


@dataclass(frozen=True, kw_only=True)
class SequencePlan:
    """One sequence to score: its masks, the frame that shows the first objects, and the frames that count."""

    name: str
    gt: SequenceMasks
    pred: SequenceMasks
    first: str
    scored: tuple[str, ...]


def plan_sequences(
    gt_root: PathLike,
    pred_root: PathLike,
    *,
    sequences: Sequence[str] | PathLike | None = None,
    skip_last: bool = True,
    single_object: bool = False,
    allow_missing: bool = False,
) -> list[SequencePlan]:
    """List what is to be scored; only the headers of the PNGs are read.

    `sequences` is a list of names, the path of an ImageSets file, or None for every folder of `gt_root`. The first
    frame is never scored, the last one only without `skip_last`. With `allow_missing`, a sequence without prediction
    gets `NoMasks`.

    Raises:
        FileNotFoundError: when a root or the ImageSets file is missing.
        ValueError: one error that names every unknown or missing sequence, every missing frame and every mask of
            another size than its ground truth.
    """
    gt, pred = open_pair(gt_root, pred_root, single_object=single_object)
    pairs, problems = pair_sequences(gt, pred, sequences, allow_missing=allow_missing)
    plans = []
    for name, truth, masks in pairs:
        frames = tuple(truth.names)
        scored = frames[1:-1] if skip_last else frames[1:]
        plans.append(SequencePlan(name=name, gt=truth, pred=masks, first=frames[0] if frames else "", scored=scored))
        if scored:
            problems += [f"{name}: {problem}" for problem in frame_problems(truth, masks, scored)]
        else:
            rule = "first and last are not scored" if skip_last else "the first is not scored"
            problems.append(f"{name}: {len(frames)} ground-truth frame(s) leave nothing to score: {rule}")
    require_sound(gt, pred, problems)
    return plans


def open_pair(gt_root: PathLike, pred_root: PathLike, *, single_object: bool = False) -> tuple[MaskSet, MaskSet]:
    """Open ground truth and predictions; raises as `open_masks`."""
    for root, what in ((gt_root, "ground truth"), (pred_root, "predictions")):
        if not Path(root).exists():
            open_masks(root, what)  # what is missing is said before what is wrong with the other
    gt = open_masks(gt_root, "ground truth", single_object=single_object)
    return gt, open_masks(pred_root, "predictions", single_object=single_object)


Pair = tuple[str, SequenceMasks, SequenceMasks]


def pair_sequences(
    gt: MaskSet,
    pred: MaskSet,
    sequences: Sequence[str] | PathLike | None = None,
    *,
    allow_missing: bool = False,
) -> tuple[list[Pair], list[str]]:
    """Return the sequences that both have, as (name, ground truth, prediction), and what is wrong with the others.

    `sequences` and `allow_missing` as for `plan_sequences`. A single video that is named after its folder or file
    belongs to the other side's single one.

    Raises:
        FileNotFoundError: when the ImageSets file is missing.
        ValueError: when nothing is asked for.
    """
    known, predicted = gt.sequences, pred.sequences
    if (gt.alone or pred.alone) and len(known) == len(predicted) == 1:
        name = next(iter(predicted if gt.alone and not pred.alone else known))
        known, predicted = {name: next(iter(known.values()))}, {name: next(iter(predicted.values()))}
    if sequences is None:
        names = dict.fromkeys([*known, *predicted])
    else:
        listed = read_sequence_list(sequences) if isinstance(sequences, str | os.PathLike) else sequences
        names = dict.fromkeys(listed)
    if not names:
        raise ValueError(f"nothing to score: the list of sequences for {gt.root} is empty.")
    pairs: list[Pair] = []
    problems = []
    for name in names:
        if name not in known:
            problems.append(f"{name}: unknown sequence, {gt.root} has no such folder")
        elif name not in predicted and allow_missing:
            pairs.append((name, known[name], NoMasks(known[name])))
        elif name not in predicted:
            problems.append(f"{name}: sequence missing, {pred.root} has no such folder")
        else:
            pairs.append((name, known[name], predicted[name]))
    return pairs, problems


def frame_problems(gt: SequenceMasks, pred: SequenceMasks, frames: Sequence[str]) -> list[str]:
    """Say which of the frames are missing, no masks, too large, or of different sizes, without decoding any."""
    problems = []
    have, known = set(pred.names), set(gt.names)
    for masks, names in ((pred, have), (gt, known)):
        missing = [frame for frame in frames if frame not in names]
        if missing:
            shown = ", ".join(_first(missing))
            problems.append(f"{len(missing)} of {len(frames)} frames missing in {masks.where}: {shown}")
    for frame in (frame for frame in frames if frame in have and frame in known):
        sizes = gt.size(frame), pred.size(frame)
        for masks, size in zip((gt, pred), sizes, strict=True):
            if size is None:
                problems.append(f"{masks.place(frame)} is not a PNG file")
            elif size[0] * size[1] > MOST_PIXELS:
                problems.append(
                    f"{masks.place(frame)} says that it has {size[0]}x{size[1]} pixels; masks of more than "
                    f"{MOST_PIXELS:,} are not read"
                )
        if None not in sizes and sizes[0] != sizes[1]:
            (width, height), (gt_width, gt_height) = sizes[1] or (0, 0), sizes[0] or (0, 0)
            problems.append(f"frame {frame} is {width}x{height} pixels, its ground truth {gt_width}x{gt_height}")
    return problems


def _first(items: Sequence[str]) -> list[str]:
    more = len(items) - MOST_SHOWN
    return [*items[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def require_sound(gt: MaskSet, pred: MaskSet, problems: Sequence[str]) -> None:
    """Raise ValueError with the first problems and their number, if there are any."""
    if problems:
        raise ValueError(
            f"cannot score {pred.root} against {gt.root}, {len(problems)} problem(s):\n"
            + ";\n".join(f"  {problem}" for problem in _first(problems))
            + ".\nMend the folders, or choose what to score: --sequences LIST, a file with their names."
        )


def read_sequence_list(path: PathLike) -> list[str]:
    """Read an ImageSets file: a sequence name on each line, or DAVIS-2016's lines of image paths.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it lists nothing, or something else than names of folders.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"list of sequences {path} does not exist; expected a file with a name on each line.")
    names = read_names(path)
    if not names:
        raise ValueError(f"list of sequences {path} is empty; expected a name on each line.")
    return names


def read_seen(meta: PathLike, seen_categories: Sequence[str] | PathLike | None) -> dict[str, dict[int, bool]]:
    """Read a YouTube-VOS meta.json: for every video, which of its objects are of a seen category.

    `seen_categories` are the categories of the training videos: a list of names, a text file with a name on each line,
    or the meta.json of the training videos, whose categories all count as seen. None: the categories in `meta` are the
    words "seen" and "unseen" themselves.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when a file has another layout, or the seen categories are needed and not given.
    """
    categories = _read_categories(Path(meta))
    split = dict(_SEEN)
    occurring = sorted({category for objects in categories.values() for category in objects.values()})
    if seen_categories is not None:
        seen = _read_category_names(seen_categories)
        split = {category: category in seen for category in occurring}
    elif not set(occurring) <= _SEEN.keys():
        raise ValueError(
            f"{meta} names categories ({', '.join(occurring[:3])}, ...) but not which of them are seen. Give the seen "
            "categories: a list of names, a text file with a name on each line, or the training videos' meta.json."
        )
    return {name: {key: split[value] for key, value in objects.items()} for name, objects in categories.items()}


def read_meta(path: Path, read: Callable[[Any], T], layout: str) -> dict[str, T]:
    """Return what `read` makes of each video in a meta.json: {"videos": {name: ...}}.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another layout; `layout` says what a video's entry should be.
    """
    expected = f'{{"videos": {{name: {layout}}}}}'
    content = read_json(path, f"a meta.json with {expected}")
    try:
        return {name: read(video) for name, video in content["videos"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} has another layout ({type(error).__name__}: {error}); expected {expected}."
        ) from error


def _read_categories(path: Path) -> dict[str, dict[int, str]]:
    return {
        video: {int(key): str(category) for key, category in objects.items()}
        for video, objects in read_objects(path, "category").items()
    }


def _read_category_names(source: Sequence[str] | PathLike) -> set[str]:
    if not isinstance(source, str | os.PathLike):
        return set(source)
    path = Path(source)
    if path.suffix == ".json":
        return {category for objects in _read_categories(path).values() for category in objects.values()}
    if not path.is_file():
        raise FileNotFoundError(f"list of seen categories {path} does not exist; expected a name on each line.")
    return set(read_lines(path))
