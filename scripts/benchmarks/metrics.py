"""Measure what every metric costs for a pair of masks, reading included, on a generated data set of many small videos.

python scripts/benchmarks/metrics.py --videos 100
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as run_lengths

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from inference.scoring.inputs import ScoreTask
from inference.scoring.table import METRICS
from util.cli import run
from util.files.palette import write_mask

_FIRST, _STEP = 1, 5  # LVOS's frame numbers, which the others take as well


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure on."""

    videos: int = 100
    """Number of videos."""
    frames: int = 8
    """Frames of each."""
    objects: int = 3
    """Objects of each."""
    height: int = 480
    """Pixels."""
    width: int = 854
    """Pixels."""
    repeats: int = 3
    """Measurements of each metric, in turns; their median counts."""
    seed: int = 0
    """Of the generated masks."""


def main(config: BenchmarkConfig) -> None:
    """Print milliseconds of a core for a pair of masks, metric by metric, and how many times DAVIS's they are."""
    if min(config.videos, config.objects, config.repeats) < 1 or config.frames < 3:
        raise ValueError("--videos, --objects and --repeats must be at least 1, --frames at least 3.")
    cv2.setNumThreads(1)  # the figures are for one core
    with tempfile.TemporaryDirectory() as folder:
        tasks = write_data(config, Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        pairs: dict[str, int] = {}
        for _ in range(config.repeats):
            for name, task in tasks.items():
                start = time.process_time()  # of this process: what others do does not count
                report = METRICS[name].score(task)
                seconds[name].append(time.process_time() - start)
                counted = [len(v["J"]) for objects in report.frames.values() for v in objects.values()]
                pairs[name] = sum(counted) or config.videos * config.frames * config.objects
    milliseconds = {name: 1000 * statistics.median(found) / pairs[name] for name, found in seconds.items()}
    for name, value in milliseconds.items():
        times = value / milliseconds["davis"]
        print(f"{name:8} {value:6.2f} ms per pair  {times:5.2f} times davis  {pairs[name]:6} pairs")


def write_data(config: BenchmarkConfig, folder: Path) -> dict[str, ScoreTask]:
    """Write ground truth and predictions in every layout that is needed; returns a task for each metric."""
    truth, masks = folder / "Annotations", folder / "results"
    names = [f"{_FIRST + _STEP * index:08d}" for index in range(config.frames)]
    for number in range(config.videos):
        for name, (gt, pred) in zip(names, _masks(config, number), strict=True):
            write_mask(truth / f"v{number:03d}" / f"{name}.png", gt)
            write_mask(masks / f"v{number:03d}" / f"{name}.png", pred)
            for key in range(1, config.objects + 1):
                for root, ids in (("sav", gt), ("sav_results", pred)):
                    path = folder / root / f"v{number:03d}" / f"{key - 1:03d}" / f"{name}.png"
                    write_mask(path, (ids == key).astype(np.uint8))
    write_meta(config, folder)
    plain = ScoreTask(truth=truth, masks=masks)
    return {
        "davis": plain,
        "davis16": plain,
        "youtube": ScoreTask(truth=truth, masks=masks, meta=folder / "meta.json"),
        "mose2": plain,
        "lvos": plain,
        "vost": plain,
        "sav": ScoreTask(truth=folder / "sav", masks=folder / "sav_results"),
        "burst": ScoreTask(truth=folder / "all_classes.json", masks=masks),
    }


def write_meta(config: BenchmarkConfig, folder: Path) -> None:
    """Write the files that YouTube-VOS's, LVOS's and BURST's metrics want beside the masks."""
    videos, keys = [f"v{number:03d}" for number in range(config.videos)], range(1, config.objects + 1)
    last = _FIRST + _STEP * (config.frames - 1)
    span = {"start": str(_FIRST), "end": str(last), "frame_nums": str(config.frames)}
    content = {
        "meta.json": {str(key): {"category": ("seen", "unseen")[key % 2]} for key in keys},
        "valid_meta.json": {str(key): {"frame_range": span} for key in keys},
    }
    for name, objects in content.items():
        (folder / name).write_text(json.dumps({"videos": {video: {"objects": objects} for video in videos}}))
    (folder / "unseen_videos.txt").write_text("\n".join(videos[::2]))
    sequences = []
    for number, video in enumerate(videos):
        segments = [
            {
                str(key): {"rle": run_lengths.encode(np.asfortranarray(gt == key, dtype=np.uint8))["counts"].decode()}
                for key in keys
                if (gt == key).any()
            }
            for gt, _ in _masks(config, number)
        ]
        sequences.append(
            {
                "id": number,
                "seq_name": video,
                "dataset": "generated",
                "height": config.height,
                "width": config.width,
                "annotated_image_paths": [f"{_FIRST + _STEP * index:08d}.jpg" for index in range(config.frames)],
                "segmentations": segments,
                "track_category_ids": {str(key): key for key in keys},
            }
        )
    (folder / "all_classes.json").write_text(json.dumps({"sequences": sequences, "split": "val"}))


def _masks(config: BenchmarkConfig, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a video's frames: ids of ragged blobs that drift, and the same with other edges."""
    generator = np.random.default_rng((config.seed, number))
    size = (config.width, config.height)
    fields = generator.standard_normal((config.objects, 8, 14)).astype(np.float32)
    for _ in range(config.frames):
        fields += 0.1 * generator.standard_normal(fields.shape).astype(np.float32)
        smooth = np.stack([cv2.resize(field, size, interpolation=cv2.INTER_CUBIC) for field in fields])
        pair = []
        for noise in generator.standard_normal((2, 40, 70)).astype(np.float32):
            rough = smooth + 0.1 * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
            pair.append(np.where(rough.max(0) > 1.2, rough.argmax(0) + 1, 0).astype(np.uint8))
        yield pair[0], pair[1]


if __name__ == "__main__":
    run(main, BenchmarkConfig, "metrics.py", __doc__ or "")
