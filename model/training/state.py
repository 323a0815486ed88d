"""Everything that a training run changes, in one state that is saved and restored; `start` builds it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.network import VOSNetwork
from model.training.optim import RunningMean, clip_gradient
from model.weights import FORMAT, VERSION, load_weights
from util.config.plain import plain
from util.config.train import TrainConfig
from util.parallel import distributed
from util.run.due import owes_validation
from util.run.folder import save_step


@dataclass
class TrainState:
    """All that a run changes.

    Attributes:
        model: the network that gets trained.
        network: unrolls clips with it.
        parallel: what to call: `network`, or DDP around it.
        optimizer: over all its parameters.
        scaler: of the loss in fp16; does nothing otherwise.
        mean: running mean of the weights, if the run keeps one.
        step: steps done in this stage.
        seconds: spent in training it so far.
        best: highest validation J&F; below 0 before the first.
        validated: the step of the last validation; -1 before the first.
    """

    model: VOSNetwork
    network: nn.Module
    parallel: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    mean: RunningMean | None
    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    validated: int = -1

    def progress(self, config: TrainConfig) -> float:
        """Return the share of the stage that is over, of its steps or of its time, whichever ends it first."""
        return progress(config, self.step, self.seconds)

    def owes_validation(self, config: TrainConfig) -> bool:
        """Return whether the run was ended between a step and its validation."""
        return owes_validation(config, self.step, self.progress(config) >= 1, self.validated)

    def reducing(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a backward pass: processes share gradients in the last of a step's parts only."""
        if last or not isinstance(self.parallel, DistributedDataParallel):
            return nullcontext()
        return self.parallel.no_sync()  # type: ignore[return-value]

    def descend(self, config: TrainConfig) -> Tensor:
        """Change the weights by the gradients that they have, count the step, and return the gradients' norm."""
        self.scaler.unscale_(self.optimizer)
        norm = clip_gradient(self.network.parameters(), config.optim.clip_gradient).detach()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.mean is not None:
            self.mean.update(self.model)
        self.step += 1
        return norm


def progress(config: TrainConfig, step: int, seconds: float) -> float:
    """Return the share of a stage that is over after so many steps and seconds."""
    by_time = seconds / (60 * config.max_minutes) if config.max_minutes > 0 else 0.0
    return max(step / config.iterations, by_time)


def save(state: TrainState, config: TrainConfig) -> None:
    """Write a checkpoint: one process does, what all have alike."""
    if distributed.is_main():
        save_step(config.folder(), payload(state, config), state.step, config.keep)


def payload(state: TrainState, config: TrainConfig) -> dict[str, Any]:
    """Return what a checkpoint holds: the whole state, in plain tensors and numbers.

    The generators' states are one process's: clips and what networks draw for them come from the clips' own seeds.
    """
    device = next(state.network.parameters()).device
    return {
        **weights_payload(state, config),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "ema_updates": state.mean.updates if state.mean is not None else 0,
        "seconds": state.seconds,
        "best": state.best,
        "validated": state.validated,
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def weights_payload(state: TrainState, config: TrainConfig) -> dict[str, Any]:
    """Return what a checkpoint without a way to go on holds."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": state.model.state_dict(),
        **({"ema": state.mean.weights} if state.mean is not None else {}),
        "step": state.step,
        "stage": config.stage,
        "config": plain(config),
    }


def restore(state: TrainState, saved: Mapping[str, Any], config: TrainConfig) -> None:
    """Put a state where a checkpoint's was, bit for bit.

    Raises ValueError if it is of another stage or network, or has no state but weights.
    """
    source = f"the checkpoint in {config.folder()}"
    if saved.get("stage") != config.stage:
        raise ValueError(f"{source} is of stage {saved.get('stage')}, expected stage {config.stage} to go on with.")
    if "optimizer" not in saved:
        raise ValueError(f"{source} holds weights only: start another run with --checkpoint instead of --resume.")
    load_weights(state.model, saved["network"], source)
    _load_optimizer(state.optimizer, saved["optimizer"], source)
    if saved["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(saved["scaler"])
    if state.mean is not None and "ema" in saved:
        for name, value in saved["ema"].items():
            state.mean.weights[name].copy_(value)
        state.mean.updates = saved["ema_updates"]
    state.step, state.seconds, state.best = saved["step"], saved["seconds"], saved["best"]
    state.validated = saved.get("validated", state.step)  # earlier checkpoints were written after validation
    torch.set_rng_state(saved["rng"])
    device = next(state.network.parameters()).device
    if device.type == "cuda" and saved["cuda_rng"] is not None:
        torch.cuda.set_rng_state(saved["cuda_rng"], device)


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any], source: str) -> None:
    """Load what an optimiser knows of each parameter; its settings stay this run's, but for the last step's lr."""
    loaded = ("params", "lr")
    settings = [{name: x for name, x in group.items() if name not in loaded} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(saved)
    except ValueError as error:
        raise ValueError(
            f"{source} has other groups of parameters ({error}): --encoder_lr, --deep_encoder_lr and --freeze_encoder "
            "must stay as they were, or start another run with --checkpoint."
        ) from error
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
