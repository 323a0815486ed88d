"""Training steps without numbers, watched: what they would start and wait for on a GPU.

Autograd asks for a driver where tensors lie on `cuda`. So a step's forward passes and losses run on `cuda`, and whole
steps, with their backward passes, on fake tensors of a CPU, which run through the same operations.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

import train
from dataset.clip import ClipBatch
from model.fast import fold, twin
from model.losses import criterion, joint
from model.training import start
from scripts.benchmarks.train import random_batch
from tests.support.fake_cuda import CUDA, Watch, fake_cuda
from util.comparison import Comparison
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, OptimConfig, TrainConfig

WITHOUT = CorrespondenceConfig(alpha=0.0)
BOXES = 5
FOR_GPU = True  # whole steps are those of a network made for one


def fake_run(
    name: str, precision: str = "fp16", compared: CorrespondenceConfig = WITHOUT, optim: Any = None, **changes: object
) -> TrainConfig:
    """Return a run of a tiny network, two clips a part; `optim` are changes of its optimiser's settings."""
    run = preset(name, "tiny")
    optimizer: OptimConfig = replace(run.optim, **(optim or {}))
    changes = {"batch_size": 2, "precision": precision, "freeze_bn": "yes", "optim": optimizer} | changes
    clip = replace(run.clip, frames=4, max_objects=2)
    augment = replace(run.augment, crop_size=32)
    return replace(run, clip=clip, augment=augment, correspondence=compared, **changes)  # type: ignore[arg-type]


def fake_parts(run: TrainConfig) -> list[ClipBatch]:
    """Return noise, two clips in each part, with views and boxes where losses compare them."""
    part = replace(run, batch_size=run.batch_size // run.accumulate)
    return [_paired(random_batch(part), run) for _ in range(run.accumulate)]


def _paired(batch: ClipBatch, run: TrainConfig) -> ClipBatch:
    wanted = run.correspondence
    if not wanted.active:
        return batch
    clips, frames = batch.labels_BTHW.shape[:2]
    views, side = frames if wanted.released else 1, run.augment.crop_size
    boxes = torch.tensor([4.0, 4, 20, 20]).expand(clips, 2, BOXES, 4) + torch.arange(BOXES)[:, None]
    compared = Comparison(
        seeds=batch.seeds,
        pair_B=torch.zeros(clips, dtype=torch.int64),
        anchor_B=torch.full((clips,), 3),
        view_matrices_BV33=torch.eye(3).repeat(clips, views, 1, 1),
        boxes_B2N4=boxes,
        box_ids_B2N=torch.arange(BOXES).clamp(max=2).expand(clips, 2, BOXES).clone(),
    )
    seen = torch.zeros(clips, views, 3, side, side, dtype=torch.uint8)
    return replace(batch, views_BV3HW=seen, compared=compared)


class _Forward(Exception):  # noqa: N818
    """The forward passes and the losses are over."""


def forward(run: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watch a step up to the backward pass of its last part."""
    parts = fake_parts(run)
    left = len(parts)

    def backward(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise _Forward

    def gradients(_: Tensor, inputs: Sequence[Tensor], **__: object) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(x) for x in inputs)

    _keep_numbers(monkeypatch)
    monkeypatch.setattr(torch, "manual_seed", lambda _: None)
    with fake_cuda(monkeypatch):
        state = start.build_state(run, CUDA)
        _half_way(state, run)
        state.scaler = torch.amp.GradScaler("cpu", enabled=False)
        monkeypatch.setattr(Tensor, "backward", backward)
        monkeypatch.setattr(torch.autograd, "grad", gradients)
        pinned = [part.pin_memory() for part in parts]
        with Watch() as watch, pytest.raises(_Forward):
            train.train_step(state, pinned, run)
    return watch


def whole_step(run: TrainConfig, monkeypatch: pytest.MonkeyPatch, before: int = 0) -> Watch:
    """Watch a whole step, after some others, on fake tensors of a CPU, the network made as for a GPU."""
    _keep_numbers(monkeypatch)
    monkeypatch.setattr(torch, "manual_seed", lambda _: None)
    monkeypatch.setattr(start, "lay_out", lambda network, _: network.to(memory_format=torch.channels_last))
    for module in (fold, twin):
        monkeypatch.setattr(module, "starts_cost", lambda _: FOR_GPU)
    cpu, parts = torch.device("cpu"), fake_parts(run)
    with fake_cuda(monkeypatch) as mode:
        state = start.build_state(run, cpu)
        _half_way(state, run)
        state.scaler = torch.amp.GradScaler("cpu", enabled=run.precision == "fp16")

        # What the program reads on the CPU keeps its numbers.
        def fake(part: ClipBatch) -> ClipBatch:
            changed = part._map(lambda x: x if x is part.valid_BO else mode.from_tensor(x))
            return replace(changed, compared=part.compared)

        faked = [fake(part) for part in parts]
        for _ in range(before):
            train.train_step(state, faked, run)
        with Watch(cpu) as watch:
            train.train_step(state, faked, run)
    return watch


def _keep_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is drawn on the CPU, from what losses compare, keep its numbers."""

    def real(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            with _disable_current_modes():
                return call(*arguments)

        return run

    monkeypatch.setattr(joint, "join_comparisons", real(joint.join_comparisons))
    for name in ("draw_compared", "draw_released", "view_sources"):
        monkeypatch.setattr(criterion, name, real(getattr(criterion, name)))


def _half_way(state: Any, run: TrainConfig) -> None:
    state.step = run.iterations * 7 // 10  # every loss has its weight
