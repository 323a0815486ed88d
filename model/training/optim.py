"""Optimiser, learning-rate schedule, running mean of weights."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from util.config.train import OptimConfig


def build_optimizer(
    parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig, encoders: Mapping[str, Sequence[str]]
) -> torch.optim.Optimizer:
    """Build the optimiser over named parameters: one group for each factor on the learning rate.

    Args:
        parameters: with their names in the network.
        config: the optimiser's settings.
        encoders: the network's, by name, each with its deep stages; see `Family.encoders`.
    """
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters:
        by_factor.setdefault(lr_factor(name, config, encoders), []).append(parameter)
    groups = [{"params": group, "factor": factor, "lr": factor * config.lr} for factor, group in by_factor.items()]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    device = next(iter(by_factor.values()))[0].device
    optimizer = kind(groups, weight_decay=config.weight_decay, fused=device.type in ("cpu", "cuda"))
    optimizer.register_step_pre_hook(_join_layouts)
    return optimizer


def _join_layouts(optimizer: torch.optim.Optimizer, *_: object) -> None:
    # On a CPU the fused step pairs numbers by their place in memory and does not look at strides. They differ where
    # the optimiser's state comes from a checkpoint of another device.
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = _laid_out_as(parameter, parameter.grad)
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.dim():
                    state[name] = _laid_out_as(parameter, value)


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    steps = zip(parameter.shape, parameter.stride(), value.stride(), strict=True)
    if all(wanted == found for size, wanted, found in steps if size > 1):
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def lr_factor(name: str, config: OptimConfig, encoders: Mapping[str, Sequence[str]]) -> float:
    """Return the factor on the learning rate of the parameter `name` of a network; see `build_optimizer`."""
    for encoder, deep in encoders.items():
        if name.startswith(f"{encoder}."):
            stage = name.removeprefix(f"{encoder}.").partition(".")[0]
            return config.deep_encoder_lr if stage in deep else config.encoder_lr
    return 1.0


def learning_rate(config: OptimConfig, step: int, progress: float) -> float:
    """Return the learning rate of a step (from 0) when the share `progress`, in [0, 1], of the run is over."""
    warmup = min((step + 1) / config.warmup_steps, 1.0) if config.warmup_steps else 1.0
    if config.lr_schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    elif config.lr_schedule == "linear":
        factor = max(1 - progress, 0.0)
    else:
        factor = 0.1 ** sum(progress >= drop for drop in config.lr_drops)
    return config.lr * warmup * factor


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def clip_gradient(parameters: Iterable[nn.Parameter], largest: float) -> Tensor:
    """Scale gradients down to a joint norm of `largest` (0: leave them), and return the norm before, without a sync."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if largest:
        torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
    return norm


class RunningMean:
    """Exponential running mean of a module's weights and buffers, for evaluation.

    Early on the decay is smaller, `(1 + n) / (10 + n)` after n updates, so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start from the module's present weights; `decay` is in (0, 1)."""
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the mean towards the module's weights."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = module.state_dict()
        floating = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[name] for name in floating], [now[name] for name in floating], 1 - keep)
        counts = sorted(now.keys() - set(floating))
        if counts:
            torch._foreach_copy_([self.weights[name] for name in counts], [now[name] for name in counts])
