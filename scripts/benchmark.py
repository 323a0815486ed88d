"""Cost of segmenting a frame: time beside a calibrating convolution, FLOPs, and peak memory.

Times on shared machines swing by a factor of two. The cost is therefore given as

    r = time / (FLOPs of the released code / rate of the calibrating convolution)

where the convolution (256 -> 256 channels, 3x3, fp32, on 120x216: 30.6 GFLOP) runs alternately with the measured frame
in the same process. With one thread (`OMP_NUM_THREADS=1`), times are processor time, which other programs change less.
There is no r for BMVOS and EMVOS: their released code was not measured. Networks are of base size with random weights;
each row is a process of its own, so that its peak memory is its own too.

    python scripts/benchmark.py                       # all rows
    python scripts/benchmark.py --models bmvos emvos  # two networks
    python scripts/benchmark.py --only xmem:3         # one row
    python scripts/benchmark.py --against ../XMem     # the released XMem (github.com/hkchengrex/XMem) beside ours

With `--against`, see `scripts/benchmarks/against.py`. Cost against objects, memory and resolution:
`scripts/benchmarks/scaling.py`.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode

from inference import InferenceConfig, VOSSegmenter, build_segmenter
from model import build_model
from scripts.benchmarks.against import print_rows
from scripts.benchmarks.calibration import against_calibration, in_own_process
from scripts.benchmarks.peer import boxes
from util.allocator import release_freed_memory
from util.cli import program
from util.config.choices import Precision
from util.device import peak_memory_bytes, resolve_precision, select_device, set_up

# The released code on an ordinary 854x480 frame with one frame in memory (torch's FlopCounterMode), by objects.
RELEASED_GFLOP = {("xmem", 1): 295.4, ("xmem", 3): 646.4, ("xmem", 5): 997.5, ("stcn", 1): 273.3, ("stcn", 3): 554.1}
ROWS = [*RELEASED_GFLOP, ("bmvos", 1), ("bmvos", 3), ("emvos", 1), ("emvos", 3)]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        models: networks; all of their rows.
        only: rows as `network:objects` instead.
        against: a checkout of the released XMem, to run beside ours in the rows of XMem instead of all this.
        height: rows of the frame.
        width: columns of the frame.
        repeats: measured frames; medians are printed.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: `auto`, `fp32`, `fp16` or `bf16`.
    """

    models: list[str] = field(default_factory=lambda: list(dict.fromkeys(name for name, _ in ROWS)))
    only: list[str] = field(default_factory=list)
    against: Path | None = None
    height: int = 480
    width: int = 854
    repeats: int = 7
    device: str = "cpu"
    precision: Precision = "fp32"


def rows(config: Config) -> list[tuple[str, int]]:
    """Return the rows to measure: network and number of objects. ValueError for a network or row that is none."""
    known = {name for name, _ in ROWS}
    chosen = [(name, int(count or 1)) for name, _, count in (row.partition(":") for row in config.only)]
    unknown = [name for name in [*config.models, *(name for name, _ in chosen)] if name not in known]
    if unknown:
        raise ValueError(f"no network {unknown[0]!r} to measure: expected {', '.join(sorted(known))}.")
    return chosen or [row for row in ROWS if row[0] in config.models]


def start(config: Config, name: str, objects: int, mem_every: int) -> tuple[VOSSegmenter, torch.Tensor]:
    """Build a segmenter, as `eval.py` does for one video, and show it a first frame with `objects` boxes."""
    torch.manual_seed(0)
    device = select_device(config.device)
    set_up(device, fixed_sizes=True)
    settings = InferenceConfig(mem_every=mem_every, precision=config.precision)
    segmenter = build_segmenter(build_model(name), settings, device)
    release_freed_memory()
    image = torch.randn(3, config.height, config.width, device=device)
    segmenter.step(image, boxes(objects, config.height, config.width))
    return segmenter, image


def ordinary_frame(config: Config, name: str, objects: int) -> dict[str, float]:
    """Measure a frame that does not enter the memory, with one frame in memory."""
    segmenter, image = start(config, name, objects, mem_every=1_000_000)
    device = segmenter.device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        segmenter.step(image)
    frame, rate = against_calibration(device, lambda: segmenter.step(image), config.repeats)
    out = {"seconds": frame, "gflop": counter.get_total_flops() / 1e9, "rate": rate}
    released = RELEASED_GFLOP.get((name, objects))
    if released is not None:
        out["r"] = frame / (released / rate)
    return out


def peak_after_12_frames(config: Config, name: str, objects: int) -> dict[str, float]:
    """Measure the peak memory of twelve frames with a memory frame every five."""
    segmenter, image = start(config, name, objects, mem_every=5)
    for _ in range(11):
        segmenter.step(image)
    return {"peak_mb": peak_memory_bytes(segmenter.device) / 2**20}


def beside_released(config: Config, folder: Path) -> None:
    """Print the rows of XMem beside the released code's; ValueError where none of them is chosen."""
    device = select_device(config.device)
    precision = resolve_precision(device, config.precision)
    objects = [count for name, count in rows(config) if name == "xmem"]
    if not objects:
        raise ValueError("--against runs xmem alone: choose its rows, --only xmem:1 xmem:3")
    shape = {"height": config.height, "width": config.width}
    print_rows(folder, objects, config.repeats, **shape, device=str(device), precision=precision)


def main(config: Config) -> None:
    """Print one line per row."""
    print(f"{config.width}x{config.height}, {config.device} {config.precision}, {torch.get_num_threads()} threads")
    if config.against is not None:
        beside_released(config, config.against)
        return
    print("network objects  s/frame    FPS      r   GFLOP  calibration GFLOP/s  peak MB after 12 frames")
    for name, objects in rows(config):
        measured: dict[str, float] = {}
        for measure in (ordinary_frame, peak_after_12_frames):
            measured |= in_own_process(measure, config, name, objects)
        r = f"{measured['r']:6.3f}" if "r" in measured else "     -"
        print(
            f"{name:8}{objects:>7}{measured['seconds']:9.3f}{1 / measured['seconds']:7.2f} {r}{measured['gflop']:8.1f}"
            f"{measured['rate']:21.0f}{measured['peak_mb']:25.0f}"
        )


if __name__ == "__main__":
    with program():
        main(tyro.cli(Config, description=__doc__))
