"""Losses that compare clips with each other, where a step's clips are computed in parts.

Each part's graph is gone before the next part is computed, but these losses need the keys of all. So the keys are
encoded once more, ahead and without a graph; the losses' gradient at the keys is what each part then feeds its own
(gradient caching, Gao et al. 2021). The result is that of all clips at once; the price is one more forward pass of the
key encoder.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from model.losses.criterion import LossInput, compute_losses, total_loss
from model.network import ClipKeys
from util.comparison import Comparison, join_comparisons
from util.config.train import TrainConfig


def joint_gradients(
    keys: Sequence[ClipKeys],
    compared: Sequence[Comparison],
    config: TrainConfig,
    weights: Mapping[str, float],
    step: int,
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[ClipKeys | None]]:
    """Compute the joint losses of all parts of a step, and each part's share of their gradient.

    Args:
        keys: of each part's clips, without graph.
        compared: of each part's clips, on the CPU.
        config: the run.
        weights: of the joint losses; 0 for all others.
        step: steps done.

    Returns:
        The losses, unweighted, the counts that go with them, and the gradient of the losses' weighted sum at the keys
        of each part, in fp32; None for keys that have none.
    """
    # In fp32: in fp16, gradients that the scaler has not seen would vanish.
    leaves = ClipKeys(*[_join(list(parts)) for parts in zip(*keys, strict=True)])  # type: ignore[arg-type]
    nothing = torch.zeros(0, device=leaves.key.device)
    known = LossInput(nothing, leaves, nothing, nothing, join_comparisons(compared) if compared else None, config, step)
    with torch.enable_grad():
        losses, counts = compute_losses(known, weights)
        present = [x for x in leaves if x is not None]
        found = iter(torch.autograd.grad(total_loss(losses, weights), present, allow_unused=True))
    gradients = [None if x is None else next(found) for x in leaves]
    sizes = [len(part.key) for part in keys]
    shares = [[None] * len(sizes) if x is None else list(x.split(sizes)) for x in gradients]
    values = {name: value.detach() for name, value in losses.items()}
    return values, counts, [ClipKeys(*part) for part in zip(*shares, strict=True)]


def feed(keys: ClipKeys, gradients: ClipKeys) -> Tensor:
    """Return a scalar whose gradient at the keys is `gradients`."""
    terms = [(x.float() * g).sum() for x, g in zip(keys, gradients, strict=True) if x is not None and g is not None]
    return torch.stack(terms).sum()


def _join(parts: list[Tensor | None]) -> Tensor | None:
    found = [part.float() for part in parts if part is not None]
    return torch.cat(found).requires_grad_() if found else None
