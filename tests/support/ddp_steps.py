"""What several processes do, and one on the joined batch: steps of training, and a layer's input."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

import train
from dataset.clip import ClipBatch
from dataset.train.loader import build_loader, read_batches
from model.training.start import build_state
from tests.support.runs import lines, small_run
from util.parallel import distributed
from util.run.folder import open_stage
from util.run.stop import StopRequest

CPU = torch.device("cpu")


def steps(
    folder: Path, accumulate: int = 1, freeze_bn: Literal["yes", "no"] = "yes", count: int = 8
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Do some steps, with both correspondence losses, on clips with one or two objects and drawn memory frames."""
    run = small_run(Path((folder / "root").read_text()), iterations=count)
    run = replace(
        run,
        output=folder / "run",
        log_every=1,
        accumulate=accumulate,
        batch_size=4,
        freeze_bn=freeze_bn,
        clip=replace(run.clip, frames=4, memory_frames=2, deep_update=0.5),
        optim=replace(run.optim, lr=1e-4, lr_schedule="steps", warmup_steps=0),
        correspondence=replace(run.correspondence, ramp=(0.0, 0.0), ocl_variant="hard"),
    )
    state = build_state(run, CPU)
    # Adam divides a gradient by its size, and so makes a whole step of one that is nothing but rounding. With a larger
    # epsilon its steps are a smooth function of the gradient.
    for group in state.optimizer.param_groups:
        group["eps"] = 1e-3
    before = {name: value.clone() for name, value in state.model.named_parameters()}
    if distributed.is_main():
        open_stage(run.folder(), run)
    train.fit(state, with_padding(read_batches(build_loader(run, CPU))), run, StopRequest())
    names = ("loss", "cross_entropy", "dice", "pcl", "ocl", "iou", "gradient_norm")
    history = [{name: line[name] for name in names} for line in lines(run.folder())]
    moved = [(value - before[name]).abs().max().item() for name, value in state.model.named_parameters()]
    assert max(moved) > 1e-4, "the weights have to move much further than they may differ"
    return state.model.state_dict(), history


def with_padding(batches: Iterator[ClipBatch]) -> Iterator[ClipBatch]:
    """Yield batches whose boxes are padded, not equally on all ranks and in all steps."""
    for step, batch in enumerate(batches):
        yield batch.pad_boxes(4 + (distributed.rank() + step) % 3)


def batch_norm_input() -> tuple[nn.BatchNorm2d, Tensor, Tensor]:
    """Return a layer, its input [4,3,5,5], far from zero, and the gradient of its output."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.BatchNorm2d(3).train()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    x = 3 + 2 * torch.randn(4, 3, 5, 5, generator=generator)
    return layer, x, torch.randn(4, 3, 5, 5, generator=generator)
