"""Small files in BURST's form."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

HEIGHT, WIDTH = 24, 32
# A frame: boxes (top, left, height, width) by track.
Frame = Mapping[int, tuple[int, int, int, int]]


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    """A mask with one box."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def sequence(
    name: str, frames: Sequence[Frame], categories: Mapping[int, int], number: int = 1, dataset: str = "LaSOT"
) -> dict[str, Any]:
    """An entry of `sequences`; frames are named frame0000.jpg, frame0010.jpg, ..."""
    return {
        "id": number,
        "seq_name": name,
        "dataset": dataset,
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 1,
        "all_image_paths": [f"frame{10 * i:04d}.jpg" for i in range(len(frames))],
        "annotated_image_paths": [f"frame{10 * i:04d}.jpg" for i in range(len(frames))],
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        "track_category_ids": {str(track): category for track, category in categories.items()},
        "segmentations": [
            {
                str(track): {"rle": run_lengths.encode(np.asfortranarray(box(*place)))["counts"].decode("ascii")}
                for track, place in frame.items()
            }
            for frame in frames
        ],
    }


def write_burst(path: Path, *sequences: dict[str, Any], names: Mapping[int, str], split: str = "val") -> Path:
    """Write a file; `names` are those of the categories."""
    categories = [{"id": number, "name": name} for number, name in names.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"sequences": list(sequences), "categories": categories, "split": split}))
    return path
