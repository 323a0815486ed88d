"""Weights that are computed from parameters: once for each call of a network, not once for each use in it."""

from torch import Tensor, nn


class Derived(nn.Module):
    """A layer that computes with weights derived from its parameters; subclasses define `derive`."""

    _held: tuple[Tensor, ...] | None = None

    def derive(self) -> tuple[Tensor, ...]:
        """Compute the weights, differentiably."""
        raise TypeError(f"{type(self).__name__} does not define derive()")

    def derived(self) -> tuple[Tensor, ...]:
        """Return the weights that are held, or computes them for this use alone."""
        return self.derive() if self._held is None else self._held


def hold_within(network: nn.Module) -> None:
    """Let all layers of a network derive their weights when it is called, and forget them when it returns."""
    layers = [module for module in network.modules() if isinstance(module, Derived)]

    def hold(*_: object) -> None:
        for layer in layers:
            layer._held = layer.derive()

    def forget(*_: object) -> None:
        for layer in layers:
            layer._held = None

    network.register_forward_pre_hook(hold)
    network.register_forward_hook(forget, always_call=True)  # type: ignore[arg-type]
