"""BURST's annotation files: sequences with their frames, and the masks of their tracks as run lengths."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.disk.lists import check_name
from dataset.disk.masks import RunLengthMasks
from dataset.disk.meta import read_json

FORM = (
    'a JSON file in BURST\'s form: "split", and "sequences" with dataset, seq_name, width, height, all_image_paths, '
    "annotated_image_paths and segmentations"
)


@dataclass(frozen=True, kw_only=True)
class BurstSequence:
    """A sequence.

    Attributes:
        dataset: of which it comes, the folder above its frames.
        sequence: its name there, the folder of its frames.
        size: height and width in pixels.
        images: file names of all frames, in order.
        masks: run lengths of the tracks that are annotated, by frame (file name without suffix), every annotated frame.
        entry: what the file says of it, as it stands.
    """

    dataset: str
    sequence: str
    size: tuple[int, int]
    images: tuple[str, ...]
    masks: Mapping[str, RunLengthMasks]
    entry: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Data set and sequence, as one folder's name."""
        return f"{self.dataset}-{self.sequence}"


@dataclass(frozen=True, kw_only=True)
class BurstFile:
    """A file: its sequences by name, and all that it says besides (split, categories)."""

    path: Path
    sequences: Mapping[str, BurstSequence]
    content: Mapping[str, Any]


def read_burst(path: Path) -> BurstFile:
    """Read a file: all_classes.json, first_frame_annotations.json or the training set's.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another form, a name that is none, or an image or sequence twice.
    """
    content = read_json(path, FORM)
    try:
        found = [_sequence(path, entry) for entry in content["sequences"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not {FORM} ({type(error).__name__}: {error}).") from error
    sequences = {sequence.name: sequence for sequence in found}
    if len(sequences) != len(found) or not found:
        raise ValueError(f"{path} holds {len(found)} sequences with {len(sequences)} names: expected each once.")
    return BurstFile(path=path, sequences=sequences, content=content)


def _sequence(path: Path, entry: Mapping[str, Any]) -> BurstSequence:
    where = f"{path}, {entry['dataset']}/{entry['seq_name']}"
    size = int(entry["height"]), int(entry["width"])
    images = [_file_name(image, where) for image in entry["all_image_paths"]]
    annotated = [stem_of(_file_name(image, where)) for image in entry["annotated_image_paths"]]
    segmentations = entry["segmentations"]
    if len(set(annotated)) != len(segmentations) or len(set(images)) != len(images):
        raise ValueError(f"{where}: {len(set(annotated))} annotated images and {len(segmentations)} with masks.")
    strange = sorted(set(annotated) - {stem_of(image) for image in images})
    if strange:
        raise ValueError(f"{where}: all_image_paths lacks {len(strange)} annotated images, such as {strange[0]}.")
    return BurstSequence(
        dataset=check_name(entry["dataset"], where),
        sequence=check_name(entry["seq_name"], where),
        size=size,
        images=tuple(images),
        masks={
            frame: RunLengthMasks(f"{where}, frame {frame}", size, _counts(tracks))
            for frame, tracks in zip(annotated, segmentations, strict=True)
        },
        entry=entry,
    )


def _counts(tracks: Mapping[str, Mapping[str, Any]]) -> dict[int, bytes]:
    return {int(track): str(found["rle"]).encode("ascii") for track, found in tracks.items()}


def _file_name(image: object, where: str) -> str:
    """Return an image's file name; a path's folders, which repeat the sequence's, do not count."""
    return check_name(str(image).rpartition("/")[2], where)


def stem_of(image: str) -> str:
    """Return a file name without its suffix."""
    return image.rpartition(".")[0] or image
