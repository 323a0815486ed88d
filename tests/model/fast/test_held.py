"""Plain layers with held weights compute what the layers compute, with the same parameters."""

import pytest
import torch
from torch import nn

from model.fast.held import HeldConv, HeldLinear, held


@pytest.mark.parametrize("bias", [True, False])
def test_held_layers(bias: bool) -> None:
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias), nn.Linear(5, 6, bias=bias)
    for plain, kind, x in ((conv, HeldConv, torch.randn(2, 3, 9, 9)), (linear, HeldLinear, torch.randn(2, 5))):
        layer = held(plain)
        assert type(layer) is kind and isinstance(layer, kind)
        assert layer.weight is plain.weight and layer(x).equal(plain(x))
        layer._held = tuple(2 * weight for weight in layer.derive())
        torch.testing.assert_close(layer(x), 2 * plain(x))
