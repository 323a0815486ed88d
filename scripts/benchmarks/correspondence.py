"""What the correspondence losses add to a training step, loading its clips included.

Two runs of one preset, without and with the losses at full weight, take turns: each time both load a batch (in this
process, so that loading is not hidden) and do a step. Medians, and the overhead of each part. On a CPU the seconds are
the processor's, of all threads together: what else runs on the machine hardly changes them.

    python scripts/benchmarks/correspondence.py --model stcn --crop_size 256 --davis_root data/DAVIS/2016
    python scripts/benchmarks/correspondence.py --model xmem --device cuda --precision fp16 --davis_root data/DAVIS/2017
"""

import logging
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
import tyro

import train
from dataset.clip import ClipBatch
from dataset.train.loader import build_loader
from model.training.start import build_state
from util import cli
from util.config.choices import Precision
from util.config.presets import preset
from util.config.train import TrainConfig
from util.device import select_device


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        model: `stcn`, `stcn-corr` or `xmem`.
        size: `base` or `tiny`.
        davis_root: a training set in DAVIS layout, with proposals if `objects` wants them.
        objects: `manual`, `auto` or `both`, as --ocl_objects of train.py.
        variant: `paper` or `hard`, as --ocl_variant of train.py.
        accumulate: parts of a step, as --accumulate of train.py.
        crop_size: side of the crop; 0 is the preset's.
        batch_size: clips of a step; 0 is the preset's.
        repeats: measured steps of each; one more warms up.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: `auto`, `fp32`, `fp16` or `bf16`.
    """

    model: str = "stcn"
    size: str = "base"
    davis_root: Path = Path("data/DAVIS/2017/trainval")
    objects: Literal["manual", "auto", "both"] = "both"
    variant: Literal["paper", "hard"] = "hard"
    accumulate: int = 1
    crop_size: int = 0
    batch_size: int = 0
    repeats: int = 5
    device: str = "cpu"
    precision: Precision = "fp32"


class Side:
    """One of the two runs: its loader, its state, and the seconds that its steps took."""

    def __init__(self, run: TrainConfig, device: torch.device) -> None:
        """Build the run."""
        self.run, self.device = run, device
        self.state = build_state(run, device)
        self.batches = iter(build_loader(run, device))
        self.loading: list[float] = []
        self.stepping: list[float] = []

    def step(self) -> None:
        """Load a batch and do a step."""
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        began = clock()
        parts: list[ClipBatch] = [next(self.batches) for _ in range(self.run.accumulate)]
        loaded = clock()
        metrics, _ = train.train_step(self.state, parts, self.run)
        metrics["loss"].sum().item()  # waits for a GPU
        self.loading.append(loaded - began)
        self.stepping.append(clock() - loaded)

    def medians(self) -> tuple[float, float]:
        """Return the median seconds of loading and of the step, without the first."""
        return statistics.median(self.loading[1:]), statistics.median(self.stepping[1:])


def run_config(config: Config, alpha: float) -> TrainConfig:
    """Return the run that is measured, with the losses at `alpha` from the first step."""
    run = preset(config.model, config.size, "2")
    crop = config.crop_size or run.augment.crop_size
    augment = replace(run.augment, crop_size=crop)
    data = replace(run.data, dataset=("davis",), davis_root=config.davis_root, num_workers=0)
    losses = replace(
        run.correspondence,
        alpha=alpha,
        ramp=(0.0, 0.0),
        ocl_objects=config.objects,
        ocl_variant=config.variant,
        view_size=crop // 32 * 16,  # half the crop's, as at the published size: small crops would have a larger one
    )
    return replace(
        run,
        augment=augment,
        data=data,
        correspondence=losses,
        batch_size=config.batch_size or run.batch_size,
        accumulate=config.accumulate,
        device=config.device,
        precision=config.precision,
        pretrained=False,
        freeze_bn="yes",
    )


def main(config: Config) -> None:
    """Print the two runs and what they differ in."""
    logging.getLogger().setLevel(logging.WARNING)
    device = select_device(config.device)
    without, with_losses = (Side(run_config(config, alpha), device) for alpha in (0.0, 0.2))
    for _ in range(config.repeats + 1):
        without.step()
        with_losses.step()
    (load, step), (more_load, more_step) = without.medians(), with_losses.medians()
    total, more = load + step, more_load + more_step
    run = without.run
    print(
        f"{config.model} {config.size}, {run.batch_size} clips of {run.clip.frames} frames, "
        f"{run.augment.crop_size}x{run.augment.crop_size}, {config.device} {config.precision}, "
        f"{torch.get_num_threads()} threads, medians of {config.repeats} steps\n"
        f"           without      with   overhead of the whole\n"
        f"loading  {load:9.3f} {more_load:9.3f} {100 * (more_load - load) / total:8.1f} %\n"
        f"step     {step:9.3f} {more_step:9.3f} {100 * (more_step - step) / total:8.1f} %\n"
        f"both     {total:9.3f} {more:9.3f} {100 * (more - total) / total:8.1f} %"
    )


if __name__ == "__main__":
    with cli.program():
        main(tyro.cli(Config, description=__doc__))
