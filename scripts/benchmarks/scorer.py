"""Measure how long the scorer needs for one object's pair of masks, J and F together, reading aside.

python scripts/benchmarks/scorer.py
python scripts/benchmarks/scorer.py --gt DAVIS/2016/Annotations/480p --pred results --single_object
"""

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from inference.metrics import mask_scores
from inference.scoring.inputs import plan_sequences
from util.cli import run

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure on.

    Attributes:
        gt: folder of ground truth, <sequence>/<frame>.png; without it masks are generated.
        pred: folder of predictions of the same layout.
        single_object: every non-zero pixel is the one object.
        pairs: number of mask pairs.
        repeats: measurements of each pair; their median counts.
        height: of generated masks, in pixels.
        width: of generated masks, in pixels.
        seed: of the generated masks.
    """

    gt: Path | None = None
    pred: Path | None = None
    single_object: bool = False
    pairs: int = 100
    repeats: int = 5
    height: int = 480
    width: int = 854
    seed: int = 0


def main(config: BenchmarkConfig) -> None:
    """Print the median, the slowest and the number of pairs."""
    if (config.gt is None) != (config.pred is None):
        raise ValueError("--gt and --pred belong together: give both folders, or none for generated masks.")
    if min(config.pairs, config.repeats, config.height, config.width) < 1:
        raise ValueError("--pairs, --repeats, --height and --width must be at least 1.")
    cv2.setNumThreads(1)  # the figure is for one core
    times = [_milliseconds(gt, pred, config.repeats) for gt, pred in islice(_pairs(config), config.pairs)]
    if not times:
        raise ValueError(f"no object in {config.gt}; expected masks with ids above 0.")
    source = f"generated {config.width}x{config.height} masks" if config.gt is None else f"masks of {config.gt}"
    print(
        f"{statistics.median(times):.3f} ms per pair (median of {len(times)} {source}; "
        f"mean {statistics.fmean(times):.3f}, slowest {max(times):.3f})"
    )


def _milliseconds(gt: np.ndarray, pred: np.ndarray, repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        mask_scores(gt, pred)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def _pairs(config: BenchmarkConfig) -> Iterator[Pair]:
    if config.gt is None or config.pred is None:
        yield from _generated_pairs(config)
        return
    names = sorted(path.name for path in config.pred.iterdir())
    for plan in plan_sequences(config.gt, config.pred, sequences=names, single_object=config.single_object):
        for frame in plan.scored:
            gt, pred = plan.gt.read(frame), plan.pred.read(frame)
            for key, mask in gt.masks.items():
                yield mask, pred.mask(key)


def _generated_pairs(config: BenchmarkConfig) -> Iterator[Pair]:
    """Blobs with ragged outlines, from a hundredth of the frame to most of it, and shifted copies with other holes."""
    generator = np.random.default_rng(config.seed)
    size = (config.width, config.height)
    while True:
        coarse = generator.standard_normal((12, 20)).astype(np.float32)
        fine = generator.standard_normal((2, 60, 100)).astype(np.float32)
        field = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
        threshold = np.quantile(field, generator.uniform(0.3, 0.99))
        gt, other = (
            field + 0.15 * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC) > threshold for noise in fine
        )
        yield gt, np.roll(other, generator.integers(-5, 6, 2), (0, 1))


if __name__ == "__main__":
    run(main, BenchmarkConfig, "scorer.py", "Time the scorer on one core.")
