"""Weights that are computed from parameters: once for each call of a network, not once for each use in it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Derived(nn.Module):
    """A layer that computes with weights derived from its parameters; subclasses define `derive`."""

    _held: tuple[Tensor, ...] | None = None

    def derive(self) -> tuple[Tensor, ...]:
        """Compute the weights, differentiably."""
        raise TypeError(f"{type(self).__name__} does not define derive()")

    @classmethod
    def derive_all(cls, layers: Sequence["Derived"]) -> list[tuple[Tensor, ...]]:
        """Compute the weights of many layers of this class; in fewer operations where a class knows how."""
        return [layer.derive() for layer in layers]

    def derived(self) -> tuple[Tensor, ...]:
        """Return the weights that are held, or computes them for this use alone."""
        return self.derive() if self._held is None else self._held


def hold_within(network: nn.Module) -> None:
    """Let all layers of a network derive their weights when it is called, and forget them when it returns.

    Under autocast they are held in its precision: it keeps its own casts of parameters, but not of what is derived.
    """
    of_class: dict[type[Derived], list[Derived]] = {}
    for module in network.modules():
        if isinstance(module, Derived):
            of_class.setdefault(type(module), []).append(module)
    layers = [layer for group in of_class.values() for layer in group]

    def hold(*_: object) -> None:
        for kind, group in of_class.items():
            for layer, weights in zip(group, kind.derive_all(group), strict=True):
                layer._held = tuple(_as_autocast(weight) for weight in weights)

    def forget(*_: object) -> None:
        for layer in layers:
            layer._held = None

    network.register_forward_pre_hook(hold)
    network.register_forward_hook(forget, always_call=True)  # type: ignore[arg-type]


def _as_autocast(weight: Tensor) -> Tensor:
    device = weight.device.type
    return weight.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else weight
