"""Cost of a training step: time beside a calibrating convolution, FLOPs, and peak memory.

Times are given as in scripts/benchmark.py: r = time / (FLOPs of the released code / rate of the convolution), but for
BMVOS and EMVOS, whose released code was not measured. Clips are random, networks of base size with random weights,
BatchNorm keeps its statistics as in the published training.

    python scripts/benchmarks/train.py                             # the shapes that the released codes were measured at
    python scripts/benchmarks/train.py --full --device cuda --precision bf16 --compile       # whole presets, 384x384
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode

from dataset.clip import ClipBatch
from model.training.start import build_state
from scripts.benchmarks.calibration import against_calibration, in_own_process
from train import train_step
from util.config.choices import Precision
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, TrainConfig
from util.device import peak_memory_bytes, select_device


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A step's batch, and what the released code takes for it on a CPU in fp32; not a number where nobody measured."""

    batch: int
    frames: int
    side: int
    objects: int
    gflop: float = math.nan
    peak_mb: float = math.nan


RELEASED = {
    "stcn": Shape(batch=2, frames=3, side=192, objects=2, gflop=719.8, peak_mb=2475),
    "xmem": Shape(batch=1, frames=4, side=192, objects=3, gflop=731.3, peak_mb=2613),
    "bmvos": Shape(batch=1, frames=4, side=192, objects=1),
    "emvos": Shape(batch=1, frames=4, side=192, objects=1),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        only: networks: stcn, xmem, bmvos, emvos.
        full: the whole batch of the preset of stage 2 instead of the small shapes of the released codes' figures.
        repeats: measured steps; medians are printed.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: `auto`, `fp32`, `fp16` or `bf16`.
        compile: compile encoders and decoder.
    """

    only: tuple[str, ...] = ("stcn", "xmem")
    full: bool = False
    repeats: int = 5
    device: str = "cpu"
    precision: Precision = "fp32"
    compile: bool = False


def run_config(config: Config, name: str) -> TrainConfig:
    """Return the run whose step is measured: the preset, at the released codes' shapes unless `full`."""
    run = replace(
        preset(name, "base", "2"),
        device=config.device,
        precision=config.precision,
        compile=config.compile,
        pretrained=False,
        freeze_bn="yes",
        correspondence=CorrespondenceConfig(alpha=0.0),  # scripts/benchmarks/correspondence.py measures those losses
    )
    if config.full:
        return run
    shape = RELEASED[name]
    clip = replace(run.clip, frames=shape.frames, max_objects=shape.objects)
    return replace(run, batch_size=shape.batch, clip=clip, augment=replace(run.augment, crop_size=shape.side))


def random_batch(run: TrainConfig) -> ClipBatch:
    """Return clips of noise, each with as many boxes as the run has objects."""
    batch, frames, objects, side = run.batch_size, run.clip.frames, run.clip.max_objects, run.augment.crop_size
    labels = torch.zeros(batch, frames, side, side, dtype=torch.uint8)
    for i in range(objects):
        left = i * side // objects
        labels[:, :, side // 4 : side // 2, left : left + side // (2 * objects)] = i + 1
    return ClipBatch(
        images_BT3HW=torch.randint(0, 256, (batch, frames, 3, side, side), dtype=torch.uint8),
        labels_BTHW=labels,
        valid_BO=torch.ones(batch, objects, dtype=torch.bool),
        matrices_BT33=torch.eye(3).repeat(batch, frames, 1, 1),
        warped_BT=torch.zeros(batch, frames, dtype=torch.bool),
        seeds=tuple(range(batch)),
        names=("noise",) * batch,
        redraws=0,
    )


def ready_step(config: Config, name: str) -> tuple[torch.device, Callable[[], object]]:
    """Return the device and a call that does one step; the first was done: it allocates the optimiser's state."""
    device, run = select_device(config.device), run_config(config, name)
    state, batch = build_state(run, device), random_batch(run)
    step = lambda: train_step(state, [batch], run)  # noqa: E731
    step()
    return device, step


def time_and_flops(config: Config, name: str) -> dict[str, float]:
    """Measure the time of a step, and its FLOPs (torch's FlopCounterMode, which a compiled network hides from)."""
    device, step = ready_step(config, name)
    gflop = float("nan")
    if not config.compile:
        with FlopCounterMode(display=False) as counter:
            step()
        gflop = counter.get_total_flops() / 1e9
    taken, rate = against_calibration(device, step, config.repeats)
    out = {"seconds": taken, "rate": rate, "gflop": gflop}
    return out if config.full else out | {"r": taken / (RELEASED[name].gflop / rate)}


def peak(config: Config, name: str) -> dict[str, float]:
    """Measure the peak memory of four steps."""
    device, step = ready_step(config, name)
    for _ in range(3):
        step()
    return {"peak_mb": peak_memory_bytes(device) / 2**20}


def describe(run: TrainConfig) -> str:
    """Return the shape of a run's step in words."""
    clip, side = run.clip, run.augment.crop_size
    return f"{run.batch_size} x {clip.frames} frames, {side}x{side}, {clip.max_objects} objects"


def main(config: Config) -> None:
    """Print one line for each network."""
    print(f"{config.device} {config.precision}{' compiled' * config.compile}, {torch.get_num_threads()} threads")
    print(f"{'':36} s/step  steps/s      r   GFLOP  released   peak MB  released  calibration GFLOP/s")
    for name in config.only:
        row = in_own_process(time_and_flops, config, name) | in_own_process(peak, config, name)
        released = "        -" if config.full else f"{RELEASED[name].gflop:9.1f}"
        memory = "        -" if config.full else f"{RELEASED[name].peak_mb:9.0f}"
        print(
            f"{name:5}{describe(run_config(config, name)):31}{row['seconds']:7.3f}{1 / row['seconds']:9.2f}"
            f"{row.get('r', float('nan')):7.3f}{row['gflop']:8.1f} {released} {row['peak_mb']:9.0f} {memory}"
            f"{row['rate']:21.0f}"
        )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
