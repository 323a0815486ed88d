"""BURST's JSON files, and where a run's masks of BURST's sequences lie."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from dataset.disk.meta import read_json
from inference.scoring.inputs import ScoreTask
from inference.scoring.masks import SequenceMasks, open_masks

logger = logging.getLogger(__name__)

_ALL_CLASSES = "all_classes.json"


@dataclass(frozen=True)
class Segment:
    """A mask as compressed run lengths, and how sure its maker was."""

    counts: bytes
    score: float = 1.0


# Masks by frame and track.
Frames = Mapping[str, Mapping[int, Segment]]


@dataclass(frozen=True, kw_only=True)
class BurstSequence:
    """One sequence: height and width, masks by frame and track, and the category of each track."""

    dataset: str
    sequence: str
    size: tuple[int, int]
    frames: Frames
    categories: Mapping[int, int]

    @property
    def name(self) -> str:
        """Data set and sequence."""
        return f"{self.dataset}/{self.sequence}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a folder with its masks may be called."""
        return self.sequence, f"{self.dataset}-{self.sequence}", f"{self.dataset}_{self.sequence}"


@dataclass(frozen=True, kw_only=True)
class BurstFile:
    """A JSON file in BURST's form: its sequences, the names of its categories, its split."""

    path: Path
    sequences: tuple[BurstSequence, ...]
    categories: Mapping[int, str]
    split: str | None


def read_burst(path: Path) -> BurstFile:
    """Read a JSON file in BURST's form.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another form.
    """
    content = read_json(path, "a JSON file in BURST's form")
    try:
        return BurstFile(
            path=path,
            sequences=tuple(_sequence(entry) for entry in content["sequences"]),
            categories={int(entry["id"]): str(entry["name"]) for entry in content.get("categories", [])},
            split=content.get("split"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} is no JSON file in BURST\'s form ({type(error).__name__}: {error}); expected "sequences" with '
            "seq_name, dataset, width, height, annotated_image_paths, segmentations and track_category_ids."
        ) from error


def find_truth(task: ScoreTask) -> BurstFile:
    """Read the ground truth; raises as `read_burst`."""
    path = task.meta or task.truth
    return read_burst(path / _ALL_CLASSES if path.is_dir() else path)


def find_predictions(task: ScoreTask, truth: BurstFile) -> list[tuple[BurstSequence, Frames]]:
    """Return the sequences to score with what was predicted for them.

    Raises:
        FileNotFoundError: when there are no predictions.
        ValueError: for a file of another form or split, or folders that lack sequences or frames.
    """
    asked = truth.sequences
    if task.sequences is not None and not isinstance(task.sequences, Path):
        wanted = set(task.sequences)
        asked = tuple(sequence for sequence in asked if wanted & {sequence.name, *sequence.names})
        if len(asked) < len(wanted):
            raise ValueError(f"{truth.path} has {len(asked)} of the {len(wanted)} sequences that are to be scored.")
    if not task.masks.is_file():
        return list(_from_folders(task.masks, asked))
    results = read_burst(task.masks)
    if results.split not in (None, truth.split):
        raise ValueError(f"{results.path} is of split {results.split}, the ground truth {truth.path} of {truth.split}.")
    predicted = {sequence.name: sequence.frames for sequence in results.sequences}
    missing = [sequence.name for sequence in asked if sequence.name not in predicted]
    if missing:
        logger.warning("%s lacks %d sequences, whose objects count as missed.", results.path, len(missing))
    return [(sequence, predicted.get(sequence.name, {})) for sequence in asked]


def _from_folders(root: Path, asked: Sequence[BurstSequence]) -> Iterator[tuple[BurstSequence, Frames]]:
    inner = root / asked[0].dataset
    found = dict(open_masks(root, "predictions").sequences) if not inner.is_dir() else {}
    problems = []
    for sequence in asked:
        if inner.is_dir() and (root / sequence.dataset).is_dir():
            masks = open_masks(root / sequence.dataset, "predictions").sequences.get(sequence.sequence)
        else:
            masks = next((found[name] for name in sequence.names if name in found), None)
        if masks is None:
            problems.append(f"{sequence.name}: sequence missing")
            continue
        lacking = [name for name in sequence.frames if name not in set(masks.names)]
        if lacking:
            problems.append(f"{sequence.name}: {len(lacking)} frames missing in {masks.where}: {', '.join(lacking)}")
            continue
        yield sequence, _encode(masks, sequence)
    if problems:
        raise ValueError(f"cannot score {root}: " + "; ".join(problems) + ".")


def _encode(masks: SequenceMasks, sequence: BurstSequence) -> Frames:
    frames: dict[str, dict[int, Segment]] = {}
    for name in sequence.frames:
        frame = masks.read(name)
        if frame.size != sequence.size:
            raise ValueError(
                f"{masks.place(name)} is {frame.size[1]}x{frame.size[0]} pixels, {sequence.name} "
                f"{sequence.size[1]}x{sequence.size[0]}."
            )
        frames[name] = {
            key: Segment(run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"])
            for key, mask in frame.masks.items()
        }
    return frames


def _sequence(entry: Mapping[str, Any]) -> BurstSequence:
    paths, segmentations = entry["annotated_image_paths"], entry["segmentations"]
    if len(paths) != len(segmentations):
        raise ValueError(f"{entry['seq_name']} has {len(paths)} annotated images and {len(segmentations)} masks")
    return BurstSequence(
        dataset=str(entry["dataset"]),
        sequence=str(entry["seq_name"]),
        size=(int(entry["height"]), int(entry["width"])),
        frames={
            Path(path).stem: {int(track): _segment(found) for track, found in frame.items()}
            for path, frame in zip(paths, segmentations, strict=True)
        },
        categories={int(track): int(number) for track, number in entry.get("track_category_ids", {}).items()},
    )


def _segment(found: Mapping[str, Any]) -> Segment:
    return Segment(str(found["rle"]).encode("ascii"), float(found.get("score", 1.0)))
