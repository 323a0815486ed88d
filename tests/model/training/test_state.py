"""The state of a run: layouts, compiled parts, the running mean of the weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import train
from dataset.train.loader import build_loader
from model.training.optim import RunningMean
from model.training.state import progress
from tests.support.runs import small_run
from util.config.train import OptimConfig

CPU = torch.device("cpu")
OPTIM = OptimConfig(optimizer="adam", lr=1.0, weight_decay=0.0)


@pytest.mark.parametrize(
    ("minutes", "step", "seconds", "share"), [(0.0, 25, 1e9, 0.25), (2.0, 25, 60, 0.5), (2.0, 75, 60, 0.75)]
)
def test_a_run_is_over_by_steps_or_by_the_clock(
    minutes: float, step: int, seconds: float, share: float, tmp_path: Path
) -> None:
    run = small_run(tmp_path, iterations=100, max_minutes=minutes)
    assert progress(run, step, seconds) == pytest.approx(share)


def test_layouts_of_weights(root: Path) -> None:
    state = train.build_state(small_run(root), CPU)
    weights = dict(state.model.named_parameters())
    for name in (
        "key_proj.key_proj.weight",
        "value_encoder.fuser.block2.conv1.weight",
        "decoder.fuser.block1.conv1.weight",
    ):
        assert weights[name].is_contiguous()
    for name in ("key_encoder.layer3.0.conv1.weight", "decoder.up_16_8.skip_conv.weight"):
        assert weights[name].is_contiguous(memory_format=torch.channels_last) and not weights[name].is_contiguous()


def test_running_mean_by_hand() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 1.0)
    mean = RunningMean(layer, 0.15)
    torch.nn.init.constant_(layer.weight, 3.0)
    mean.update(layer)  # keeps min(0.15, 2/11) = 0.15
    assert mean.weights["weight"].item() == pytest.approx(0.15 * 1 + 0.85 * 3)
    slow = RunningMean(layer, 0.999)
    torch.nn.init.constant_(layer.weight, 14.0)
    slow.update(layer)  # keeps 2/11
    assert slow.weights["weight"].item() == pytest.approx(2 / 11 * 3 + 9 / 11 * 14)


def test_parts_are_compiled_in_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def pretend(call: Callable[..., object], *_: object, **__: object) -> Callable[..., object]:
        compiled.append(call)
        return call

    monkeypatch.setattr(torch, "compile", pretend)
    run = small_run(root, iterations=1, compile=True)
    state = train.build_state(run, CPU)
    assert len(compiled) == 3 and not any("_orig_mod" in name for name in state.model.state_dict())
    metrics, _ = train.train_step(state, [next(iter(build_loader(run, CPU)))], run)
    assert metrics["loss"].isfinite().all()
