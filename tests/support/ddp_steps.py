"""What several processes do, and one on the joined batch: steps of training, and a layer's input."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

import train
from dataset.train.loader import build_loader
from model.training.start import build_state
from tests.support.runs import small_run

CPU = torch.device("cpu")


def steps(
    folder: Path, accumulate: int = 1, freeze_bn: Literal["yes", "no"] = "yes", count: int = 8
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Do some steps, with both correspondence losses, on clips with one or two objects and drawn memory frames."""
    run = small_run(Path((folder / "root").read_text()), iterations=count)
    run = replace(
        run,
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
    batches = iter(build_loader(run, CPU))
    pending, history = train.StepMetrics(), []
    for _ in range(count):
        parts = [next(batches) for _ in range(accumulate)]
        values, _ = train.train_step(state, parts, run)
        pending.add(state.step, values, [part.names for part in parts])
        scalars = pending.flush()
        names = ("loss", "cross_entropy", "dice", "pcl", "ocl", "iou", "gradient_norm")
        history.append({name: scalars[name] for name in names})
    moved = [(value - before[name]).abs().max().item() for name, value in state.model.named_parameters()]
    assert max(moved) > 1e-4, "the weights have to move much further than they may differ"
    return state.model.state_dict(), history


def batch_norm_input() -> tuple[nn.BatchNorm2d, Tensor, Tensor]:
    """Return a layer, its input [4,3,5,5], far from zero, and the gradient of its output."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.BatchNorm2d(3).train()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    x = 3 + 2 * torch.randn(4, 3, 5, 5, generator=generator)
    return layer, x, torch.randn(4, 3, 5, 5, generator=generator)
