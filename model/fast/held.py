"""Plain layers whose weights are held for a call of the network, cast once and together with all others."""

from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from model.fast.derived import Derived
from model.fast.recast import recast

Layer = TypeVar("Layer", bound=nn.Module)


class HeldConv(nn.Conv2d, Derived):
    """A convolution."""

    def derive(self) -> tuple[Tensor, ...]:
        """Return its parameters."""
        return _parameters(self)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N,C,H,W]."""
        return self._conv_forward(x, *_weight_and_bias(self))


class HeldLinear(nn.Linear, Derived):
    """A linear layer."""

    def derive(self) -> tuple[Tensor, ...]:
        """Return its parameters."""
        return _parameters(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [...,C] to [...,C']."""
        return F.linear(x, *_weight_and_bias(self))


KINDS: dict[type[nn.Module], type[Derived]] = {nn.Conv2d: HeldConv, nn.Linear: HeldLinear}


def held(layer: nn.Module) -> nn.Module:
    """Return the layer of `KINDS` that takes the parameters of a plain layer over."""
    return recast(layer, KINDS[type(layer)])


def _parameters(layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, ...]:
    return (layer.weight,) if layer.bias is None else (layer.weight, layer.bias)


def _weight_and_bias(layer: Derived) -> tuple[Tensor, Tensor | None]:
    weight, *bias = layer.derived()
    return weight, bias[0] if bias else None
