"""What is to be scored: sequences, frames and categories, all of them checked before any mask is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.disk.frames import natural_key
from dataset.disk.lists import read_lines, read_names, subfolders
from dataset.disk.meta import read_objects

PathLike = str | os.PathLike[str]
_PNG_START = b"\x89PNG\r\n\x1a\n"
_SEEN = {"seen": True, "unseen": False}


@dataclass(frozen=True, kw_only=True)
class SequencePlan:
    """One sequence to score: its folders, the frame that shows the first objects, and the frames that count."""

    name: str
    gt_dir: Path
    pred_dir: Path
    first: str
    scored: tuple[str, ...]


def plan_sequences(
    gt_root: PathLike, pred_root: PathLike, *, sequences: Sequence[str] | PathLike | None = None, skip_last: bool = True
) -> list[SequencePlan]:
    """List what is to be scored; only the headers of the PNGs are read.

    `sequences` is a list of names, the path of an ImageSets file, or None for every folder of `gt_root`. The first
    frame is never scored, the last one only without `skip_last`.

    Raises:
        FileNotFoundError: when a root or the ImageSets file is missing.
        ValueError: one error that names every unknown or missing sequence, every missing frame and every mask of
            another size than its ground truth.
    """
    gt_root = _existing_folder(gt_root, "ground truth")
    pred_root = _existing_folder(pred_root, "predictions")
    known, predicted = dict.fromkeys(subfolders(gt_root)), dict.fromkeys(subfolders(pred_root))
    if not known:
        raise ValueError(f"{gt_root} has no sequence folders; expected <sequence>/<frame>.png below it.")
    if sequences is None:
        names = known | predicted
    else:
        listed = read_sequence_list(sequences) if isinstance(sequences, str | os.PathLike) else sequences
        names = dict.fromkeys(listed)
    plans, problems = [], []
    for name in names:
        if name not in known:
            problems.append(f"{name}: unknown sequence, {gt_root} has no such folder")
            continue
        if name not in predicted:
            problems.append(f"{name}: sequence missing, {pred_root} has no such folder")
            continue
        plan, wrong = _plan_sequence(name, gt_root / name, pred_root / name, skip_last)
        plans.append(plan)
        problems += [f"{name}: {problem}" for problem in wrong]
    if problems:
        raise ValueError(
            f"cannot score {pred_root} against {gt_root}, {len(problems)} problem(s):\n"
            + ";\n".join(f"  {problem}" for problem in problems)
            + ".\nMend the folders, or choose what to score with the list of sequences."
        )
    if not plans:
        raise ValueError(f"nothing to score: the list of sequences for {gt_root} is empty.")
    return plans


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


def _existing_folder(path: PathLike, what: str) -> Path:
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{what} folder {path} does not exist; expected <sequence>/<frame>.png below it.")
    return path


def _plan_sequence(name: str, gt_dir: Path, pred_dir: Path, skip_last: bool) -> tuple[SequencePlan, list[str]]:
    frames = sorted((path.stem for path in gt_dir.glob("*.png") if not path.name.startswith(".")), key=natural_key)
    scored = frames[1:-1] if skip_last else frames[1:]
    plan = SequencePlan(
        name=name, gt_dir=gt_dir, pred_dir=pred_dir, first=frames[0] if frames else "", scored=tuple(scored)
    )
    if not scored:
        rule = "first and last are not scored" if skip_last else "the first is not scored"
        return plan, [f"{len(frames)} ground-truth frame(s) leave nothing to score: {rule}"]
    problems = []
    missing = [frame for frame in scored if not (pred_dir / f"{frame}.png").is_file()]
    if missing:
        problems.append(f"{len(missing)} of {len(scored)} frames missing in {pred_dir}: {', '.join(missing)}")
    for frame in (frame for frame in scored if frame not in set(missing)):
        gt, pred = png_size(gt_dir / f"{frame}.png"), png_size(pred_dir / f"{frame}.png")
        problems += [f"{path / frame}.png is not a PNG file" for path, s in ((gt_dir, gt), (pred_dir, pred)) if not s]
        if gt and pred and gt != pred:
            problems.append(f"frame {frame} is {pred[0]}x{pred[1]} pixels, its ground truth {gt[0]}x{gt[1]}")
    return plan, problems


def png_size(path: Path) -> tuple[int, int] | None:
    """Return width and height from a PNG's header, or None when the file does not start as a PNG does."""
    with path.open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or not header.startswith(_PNG_START) or header[12:16] != b"IHDR":
        return None
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


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
