"""One training step passes on what the configuration and the state say: rate, share, scale, clipping, running mean."""

import copy
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import train
from dataset.clip import ClipBatch
from dataset.train.loader import build_loader
from model.losses.segmentation import bootstrapped_cross_entropy
from model.training.optim import learning_rate
from model.training.state import TrainState, payload, restore
from tests.support.runs import assert_same, flags, small_run
from util.config.train import TrainConfig
from util.files.checkpoint import read_checkpoint, save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def config(root: Path) -> TrainConfig:
    run = small_run(root, iterations=10)
    optim = replace(run.optim, warmup_steps=4, lr_schedule="cosine")
    return replace(run, optim=optim, correspondence=replace(run.correspondence, alpha=0.0))


@pytest.fixture
def batch(config: TrainConfig) -> ClipBatch:
    return next(iter(build_loader(config, CPU)))


def rate(state: TrainState) -> float:
    return float(state.optimizer.param_groups[-1]["lr"])


def gradients(state: TrainState) -> dict[str, Tensor]:
    found = {name: weight.grad for name, weight in state.model.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


def test_the_rate_is_that_of_the_step_and_of_the_share_done_before_it(config: TrainConfig, batch: ClipBatch) -> None:
    state = train.build_state(config, CPU)
    for step in range(3):
        train.train_step(state, [batch], config)
        assert rate(state) == pytest.approx(learning_rate(config.optim, step, step / 10), rel=1e-9)
        assert rate(state) != pytest.approx(learning_rate(config.optim, step + 1, (step + 1) / 10), rel=1e-3)


def test_the_bootstrapped_share_is_that_of_the_step(config: TrainConfig, batch: ClipBatch) -> None:
    loss = replace(config.loss, bootstrap_start=2, bootstrap_end=6, bootstrap_share=0.1)
    config = replace(config, loss=loss)
    for step, share in ((1, 1.0), (4, 0.55), (6, 0.1)):
        state = train.build_state(config, CPU)
        state.step = step
        metrics, output = train.train_step(state, [batch], config)
        expected = bootstrapped_cross_entropy(output.logits, batch.labels_BTHW[:, 1:], batch.valid_BO, share)
        assert metrics["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert share == 1 or expected > 1.2 * bootstrapped_cross_entropy(
            output.logits, batch.labels_BTHW[:, 1:], batch.valid_BO, 1.0
        )


def test_a_scaled_loss_gives_the_gradients_norm_and_step_of_an_unscaled_one(
    config: TrainConfig, batch: ClipBatch
) -> None:
    config = replace(config, optim=replace(config.optim, clip_gradient=0.05))
    plain, scaled = train.build_state(config, CPU), train.build_state(config, CPU)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    norms = [train.train_step(state, [batch], config)[0]["gradient_norm"].item() for state in (plain, scaled)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4) and norms[0] > 0.1
    torch.testing.assert_close(gradients(scaled), gradients(plain), rtol=1e-3, atol=1e-6)
    for state in (plain, scaled):
        joint = torch.stack([gradient.norm() for gradient in gradients(state).values()]).norm().item()
        assert joint == pytest.approx(0.05, rel=1e-3), "clipped after the scale is gone"
    free = replace(config, optim=replace(config.optim, clip_gradient=0.0))
    train.train_step(state := train.build_state(free, CPU), [batch], free)
    joint = torch.stack([gradient.norm() for gradient in gradients(state).values()]).norm().item()
    assert joint == pytest.approx(norms[0], rel=1e-4)


def test_every_step_moves_the_running_mean_the_last_one_too(config: TrainConfig, batch: ClipBatch) -> None:
    config = replace(config, iterations=2, optim=replace(config.optim, ema=0.5, warmup_steps=0))
    state = train.build_state(config, CPU)
    assert state.mean is not None
    mean = {name: value.clone() for name, value in state.mean.weights.items() if value.is_floating_point()}
    for step in (1, 2):
        train.train_step(state, [batch], config)
        keep = min(0.5, (1 + step) / (10 + step))
        now = state.model.state_dict()
        mean = {name: keep * value + (1 - keep) * now[name] for name, value in mean.items()}
        assert state.mean.updates == step
        torch.testing.assert_close({name: state.mean.weights[name] for name in mean}, mean, rtol=1e-5, atol=1e-6)


def test_the_whole_state_comes_back(config: TrainConfig, batch: ClipBatch, tmp_path: Path) -> None:
    first = train.build_state(config, CPU)
    first.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    train.train_step(first, [batch], config)
    first.best, first.seconds, first.validated = 0.75, 123.5, 1
    first.scaler.update(64.0)
    torch.manual_seed(5)
    saved = copy.deepcopy(payload(first, config))
    save_checkpoint(tmp_path / "a.pth", saved)
    torch.manual_seed(6)
    second = train.build_state(config, CPU)
    second.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    restore(second, read_checkpoint(tmp_path / "a.pth"), config)
    assert (second.step, second.best, second.seconds, second.validated) == (1, 0.75, 123.5, 1)
    assert second.scaler.get_scale() == 64.0
    assert_same(payload(second, config), saved)
    torch.manual_seed(5)
    drawn = torch.rand(3)
    restore(second, saved, config)
    assert torch.equal(torch.rand(3), drawn)
    before = {name: value for name, value in saved.items() if name != "validated"}
    restore(second, before, config)
    assert second.validated == 1, "earlier checkpoints were written after validation"


def test_a_run_that_goes_on_has_the_settings_that_it_is_given(config: TrainConfig) -> None:
    first = train.build_state(config, CPU)
    saved = copy.deepcopy(payload(first, config))
    other = replace(config, optim=replace(config.optim, weight_decay=0.3))
    second = train.build_state(other, CPU)
    restore(second, saved, other)
    assert {group["weight_decay"] for group in second.optimizer.param_groups} == {0.3}
    groups = replace(config, optim=replace(config.optim, encoder_lr=0.5))
    with pytest.raises(ValueError, match="other groups of parameters .*: --encoder_lr, --deep_encoder_lr and"):
        restore(train.build_state(groups, CPU), saved, groups)


def test_the_log_has_what_the_last_step_was_done_with(config: TrainConfig, batch: ClipBatch) -> None:
    run = replace(config, optim=replace(config.optim, encoder_lr=0.5, deep_encoder_lr=0.25, warmup_steps=0))
    run = replace(run, loss=replace(run.loss, bootstrap_start=0, bootstrap_end=4, bootstrap_share=0.2))
    state = train.build_state(run, CPU)
    train.train_step(state, [batch], run)
    values = train.schedule_values(state, run)
    assert values["lr"] == pytest.approx(run.optim.lr) and values["pixel_share"] == 1.0


def validating(root: Path, output: Path, *more: str) -> list[str]:
    words = ["--validate_every", "2", "--val_dataset", "d17", "--val_root", str(root.parent), "--val_size", "-1"]
    return flags(root, output, *words, "--ema", "0.9", "--warmup_steps", "0", *more)


def noted(monkeypatch: pytest.MonkeyPatch, act: Callable[..., dict[str, float]]) -> list[Any]:
    """Have validation replaced by `act`, and what it is given noted."""
    given: list[Any] = []

    def instead(*arguments: Any) -> dict[str, float]:
        given.append(arguments)
        return act(*arguments)

    monkeypatch.setattr(train, "validate", instead)
    return given


def test_what_is_judged_is_what_is_kept_as_the_best(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scores = tmp_path / "run", iter((0.3, 0.2, 0.4))
    weights: list[dict[str, Tensor]] = []

    def judge(model: Any, config: Any, device: Any, mean: dict[str, Tensor], *_: Any) -> dict[str, float]:
        weights.append({name: value.clone() for name, value in mean.items()})
        return {"J&F": next(scores)}

    noted(monkeypatch, judge)
    train.command_line(validating(root, folder, "--iterations", "6", "--keep", "0"))
    best, kept = read_checkpoint(folder / "best.pth"), [read_checkpoint(folder / f"step-000000{n}.pth") for n in (2, 4)]
    assert (best["step"], best["figures"]) == (6, {"J&F": 0.4})
    assert_same(weights[2], best["ema"])
    for judged, saved in zip(weights, kept, strict=False):
        assert_same(judged, saved["ema"])
        assert any(not torch.equal(value, saved["network"][name]) for name, value in judged.items())
    assert [saved["best"] for saved in kept] == [0.3, 0.3]


@pytest.mark.parametrize("iterations", [2, 4])
def test_a_signal_leaves_no_time_for_validation(
    iterations: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = noted(monkeypatch, lambda *_: {"J&F": 0.5})
    real = train.train_step

    def interrupted(state: Any, parts: Any, config: Any) -> Any:
        if state.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(state, parts, config)

    monkeypatch.setattr(train, "train_step", interrupted)
    with pytest.raises(SystemExit) as stop:
        train.command_line(validating(root, tmp_path / "run", "--iterations", str(iterations)))
    assert stop.value.code == 128 + signal.SIGTERM and given == []
    monkeypatch.setattr(train, "train_step", real)
    train.command_line(["--resume", str(tmp_path / "run")])
    assert len(given) == iterations // 2, "what is owed is done when the run goes on"
