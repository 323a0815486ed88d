"""Results in BURST's form: one JSON file like its annotations, with run lengths of the predicted masks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset.disk.burst import BurstSequence, read_burst
from dataset.disk.masks import encode
from dataset.evaluate.video import Video
from util.files.atomic import atomic_write
from util.files.palette import object_ids, read_mask


def write_burst(results: Path, path: Path, videos: Sequence[Video], annotations: Path) -> Path:
    """Write the masks of BURST's sequences, as `eval.py` wrote them, as one JSON file; empty masks are left out.

    The file is BURST's own with its masks replaced, as its evaluation code wants it: frames, tracks and split stay.

    Args:
        results: the folder with a folder of mask PNGs for each sequence, complete.
        path: the file to write.
        videos: the sequences.
        annotations: BURST's annotation file of the split.

    Raises:
        FileNotFoundError: when there is no annotation file.
        ValueError: when it is none, or a mask has another size than its sequence.
    """
    known = read_burst(annotations)
    entries = [_entry(results / video.name, known.sequences[video.name]) for video in videos]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({**known.content, "sequences": entries}, separators=(",", ":")))
    return path


def _entry(folder: Path, sequence: BurstSequence) -> dict[str, Any]:
    segmentations = []
    for frame in sequence.masks:
        ids = read_mask(folder / f"{frame}.png")
        if ids.shape != sequence.size:
            raise ValueError(
                f"mask {folder / frame}.png has {ids.shape[1]}x{ids.shape[0]} pixels, {sequence.name} "
                f"{sequence.size[1]}x{sequence.size[0]}. Segment the sequence again."
            )
        segmentations.append({str(track): {"rle": encode(ids == track).decode("ascii")} for track in object_ids(ids)})
    return {**sequence.entry, "segmentations": segmentations}
