"""What a training step would do on a GPU, without one: no device is mixed, nothing waits, few kernels are started.

Each way to break it has a control that does. See `tests/support/fake_cuda.py` for what counts as a launch.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from model import aggregate
from model.losses import criterion, joint
from model.training import state
from model.training.optim import clip_gradient
from tests.support.fake_cuda import Watch
from tests.support.fake_step import WITHOUT, fake_run, forward, whole_step
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, LossConfig, TrainConfig

TRAINING = 3_400
PAPER = CorrespondenceConfig()
CAREFUL = {"ema": 0.9, "clip_gradient": 1.0}
PARTS = {"batch_size": 4, "accumulate": 2}
DICE = LossConfig(bootstrap_share=0.2, dice=1.0)
RUNS = {
    **{name: fake_run(name, compared=PAPER, optim=CAREFUL) for name in ("stcn", "stcn-corr", "xmem", "bmvos", "emvos")},
    "bf16 in parts, hard": fake_run("xmem", "bf16", replace(PAPER, ocl_variant="hard"), **PARTS),
    "fp32 in parts, released": fake_run("stcn-corr", "fp32", replace(PAPER, pcl_variant="released"), **PARTS),
    "intra, as XMem matches": fake_run(
        "xmem", compared=replace(PAPER, pcl_negatives="intra", pcl_similarity="network", ocl=False), loss=DICE
    ),
    "BatchNorm trains": fake_run("xmem", "bf16", freeze_bn="no"),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_a_step_waits_for_nothing(run: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        watch = forward(run, patch)
    assert watch.count > 100 and not watch.waits, dict(watch.waits)
    watch = whole_step(run, monkeypatch)
    assert watch.launches["convolution_backward"] > 10 and not watch.waits, dict(watch.waits)


@pytest.mark.slow
def test_launches_of_a_training_step_at_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    run = replace(preset("xmem"), precision="fp16", pretrained=False, freeze_bn="yes", batch_size=3)
    run = replace(run, correspondence=WITHOUT)
    assert run.clip.frames == 8
    assert whole_step(run, monkeypatch, before=1).count <= TRAINING


def asking(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function ask for a number of its first tensor."""

    def ask(x: Any, *more: Any) -> Any:
        for tensor in [x] if isinstance(x, Tensor) else x:
            assert tensor is None or tensor.float().sum().item() is not None
        return call(x, *more)

    return ask


def pick(logits: Tensor, *_: Tensor) -> Tensor:
    """Change a tensor where another one says so."""
    logits = logits.detach().clone()
    logits[logits > 0] = 0.0
    return logits.sum()


def clip_by_number(parameters: Any, largest: float) -> Tensor:
    return torch.tensor(clip_gradient(parameters, largest).item())


def ask_backwards(x: Tensor) -> Tensor:
    """Do what the backward pass of `prod` does, but for tensors without numbers: it asks for one."""
    product = x.prod(dim=-3, keepdim=True)
    product.register_hook(lambda gradient: gradient * gradient.sum().item())
    return product


SMALL = fake_run("stcn", "fp32", optim={"clip_gradient": 1.0})
COMPARED = fake_run("stcn", "fp32", compared=PAPER)
JOINED = fake_run("stcn", "fp32", compared=PAPER, **PARTS)
CROSS = "bootstrapped_cross_entropy"
Watched = Callable[[TrainConfig, pytest.MonkeyPatch], Watch]


@pytest.mark.parametrize(
    ("watched", "run", "place", "name", "breaking", "expected"),
    [
        (forward, SMALL, criterion, CROSS, asking(criterion.bootstrapped_cross_entropy), "_local_scalar_dense"),
        (forward, SMALL, criterion, CROSS, pick, "nonzero"),
        (forward, COMPARED, criterion, "upload", lambda x, device: x.to(device), "upload"),
        (forward, JOINED, joint, "_join", asking(joint._join), "_local_scalar_dense"),
        (whole_step, SMALL, state, "clip_gradient", clip_by_number, "_local_scalar_dense"),
        (whole_step, SMALL, aggregate, "_product", ask_backwards, "_local_scalar_dense"),
    ],
    ids=["number", "mask as index", "pageable memory", "number in parts", "norm", "number backwards"],
)
def test_the_guard_sees_a_wait(
    watched: Watched,
    run: TrainConfig,
    place: Any,
    name: str,
    breaking: Any,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, breaking)
    assert watched(run, monkeypatch).waits[expected] >= 1


def test_the_guard_sees_mixed_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criterion, "upload", lambda x, _: x)
    with pytest.raises(RuntimeError, match="cpu.*cuda:0|cuda:0.*cpu|[Dd]evice"):
        forward(COMPARED, monkeypatch)


def test_the_guard_counts_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is not made for a GPU starts more."""
    run = fake_run("stcn")
    with monkeypatch.context() as patch:
        joined = whole_step(run, patch).count
    monkeypatch.setattr("tests.support.fake_step.FOR_GPU", False)
    assert whole_step(run, monkeypatch).count > joined + 150
