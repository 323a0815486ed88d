"""How the cost of an ordinary frame grows with objects, memory and resolution: XMem, one of them varied at a time.

    python scripts/benchmarks/scaling.py                        # a CPU: about half an hour on one core
    python scripts/benchmarks/scaling.py --device cuda
    python scripts/benchmarks/scaling.py --only objects --size tiny --heights 96 --repeats 1

From one object, one frame in memory and the first of `heights`. A row says what a frame costs (median), and what the
calibrating convolution beside it took (`calibration.py`). A line under each group has the slope of the straight
line through its points, in milliseconds and in convolutions: the second is the steadier on a shared machine.

The row with a full long-term memory has 10,000 consolidated elements beside five frames. They are made by as few
consolidations as their number allows (two at 480 rows, not 79): what a frame reads has the same size, but the peak
memory is that of these consolidations.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
import tyro

from inference import InferenceConfig, build_segmenter
from model import build_model
from scripts.benchmarks.calibration import CALIBRATION_GFLOP, against_calibration, in_own_process
from scripts.benchmarks.peer import boxes
from util.cli import program
from util.config.choices import Precision
from util.device import peak_memory_bytes, select_device, set_up

GROUPS = {"objects": "object", "memory": "frame in memory", "resolution": "megapixel"}  # and what a slope is of


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        only: groups of rows: `objects`, `memory`, `resolution`; all by default.
        objects: numbers of objects.
        memory: frames in memory; after them comes a full long-term memory.
        heights: rows of a frame; the first is the one at which the others are varied. Columns are 16/9 of them.
        long_term: elements of the full long-term memory; 0 leaves its row out.
        size: the network's size.
        repeats: measured frames; medians are printed.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: `auto`, `fp32`, `fp16` or `bf16`.
    """

    only: tuple[str, ...] = ()
    objects: tuple[int, ...] = (1, 3, 10, 30)
    memory: tuple[int, ...] = (1, 5, 10)
    heights: tuple[int, ...] = (480, 240, 720)
    long_term: int = 10_000
    size: str = "base"
    repeats: int = 5
    device: str = "cpu"
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a frame's cost is measured: objects, frames in memory, long-term elements beside them, rows of a frame."""

    objects: int
    frames: int
    long_term: int
    height: int

    @property
    def width(self) -> int:
        """Columns of the frame, an even number."""
        return round(self.height * 8 / 9) * 2

    def __str__(self) -> str:
        """Return the point in words."""
        memory = f"{self.frames} in memory" + (f" and {self.long_term:,} long-term elements" if self.long_term else "")
        return f"{self.objects} objects, {memory}, {self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a frame costs: its milliseconds, those of the convolution beside it, the process's peak MB."""

    frame_ms: float
    convolution_ms: float
    peak_mb: float


def points(config: Config) -> dict[str, list[tuple[float, Point]]]:
    """Return the points of each group, each with what is varied; NaN for the full long-term memory, which has no slope.

    Raises ValueError for a group that is none.
    """
    unknown = sorted(set(config.only) - set(GROUPS))
    if unknown:
        raise ValueError(f"--only {unknown[0]}: expected some of {', '.join(GROUPS)}")
    usual = Point(objects=config.objects[0], frames=config.memory[0], long_term=0, height=config.heights[0])
    groups: dict[str, list[tuple[float, Point]]] = {
        "objects": [(n, replace(usual, objects=n)) for n in config.objects],
        "memory": [(n, replace(usual, frames=n)) for n in config.memory],
        "resolution": [],
    }
    if config.long_term:
        groups["memory"].append((float("nan"), replace(usual, frames=5, long_term=config.long_term)))
    for height in sorted(config.heights):
        point = replace(usual, height=height)
        groups["resolution"].append((point.width * height / 1e6, point))
    return {name: group for name, group in groups.items() if name in (config.only or GROUPS)}


def cost(config: Config, point: Point) -> Cost:
    """Fill a memory, and measure an ordinary frame that reads it."""
    torch.manual_seed(0)
    device = select_device(config.device)
    set_up(device, fixed_sizes=True)
    positions = -(-point.height // 16) * -(-point.width // 16)
    # Consolidations come when ten frames are there, and after each five more; each one takes from five frames.
    full = -(-point.long_term // (5 * positions))
    settings = InferenceConfig(
        mem_every=1_000_000,
        precision=config.precision,
        max_mid_term_frames=10 if full else point.frames + 10,
        num_prototypes=-(-point.long_term // full) if full else 1,
        max_long_term_elements=max(point.long_term, 1),
    )
    segmenter = build_segmenter(build_model("xmem", config.size), settings, device)
    image = torch.randn(3, point.height, point.width, device=device)
    mask = boxes(point.objects, point.height, point.width)
    for _ in range(5 + 5 * full if full else point.frames):
        segmenter.step(image, mask)  # a frame with masks enters the memory
    working, long_term = segmenter.memory_sizes[0]
    assert (working, long_term) == (point.frames * positions, point.long_term), (working, long_term, positions)
    segmenter.step(image)
    seconds, rate = against_calibration(device, lambda: segmenter.step(image), config.repeats)
    convolution = CALIBRATION_GFLOP / rate
    return Cost(frame_ms=1000 * seconds, convolution_ms=1000 * convolution, peak_mb=peak_memory_bytes(device) / 2**20)


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the least-squares line through points, at least two with different x; NaN for fewer."""
    if len(set(xs)) < 2:
        return float("nan")
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread


def main(config: Config) -> None:
    """Print a line for each point, and the slopes."""
    groups = points(config)
    print(f"XMem {config.size}, {config.device} {config.precision}, {torch.get_num_threads()} threads")
    known: dict[Point, Cost] = {}
    for name, group in groups.items():
        print(f"{name:<62}    ms  convolution ms  ratio  peak MB")
        for _, point in group:
            found = known[point] = known.get(point) or in_own_process(cost, config, point)
            ratio = found.frame_ms / found.convolution_ms
            print(
                f"{point!s:<60} {found.frame_ms:7.1f} {found.convolution_ms:15.1f} {ratio:6.2f} {found.peak_mb:8.0f}",
                flush=True,
            )
        line = [(x, known[point]) for x, point in group if x == x]
        xs = [x for x, _ in line]
        milliseconds = slope(xs, [c.frame_ms for _, c in line])
        convolutions = slope(xs, [c.frame_ms / c.convolution_ms for _, c in line])
        print(f"  each {GROUPS[name]}: {milliseconds:.1f} ms, {convolutions:.3f} convolutions", flush=True)


if __name__ == "__main__":
    with program():
        main(tyro.cli(Config, description=__doc__))
