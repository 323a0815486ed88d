"""Derived weights: once for each call of the network, and never old ones."""

import pytest
import torch
from torch import Tensor, nn

from model.fast.derived import Derived, hold_within


class Doubled(Derived):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.times = 0

    def derive(self) -> tuple[Tensor, ...]:
        self.times += 1
        return (2 * self.weight,)

    def forward(self, x: Tensor) -> Tensor:
        if x.isnan():
            raise ArithmeticError
        return x * self.derived()[0]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = Doubled()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.layer(x))
        return out


def test_weights_are_derived_once_a_call_and_follow_the_parameter() -> None:
    network = Twice()
    hold_within(network)
    x = torch.ones(1)
    assert network(x).item() == 4 and network.layer.times == 1
    network(x).backward()
    assert network.layer.weight.grad is not None and network.layer.weight.grad.item() == 8
    with torch.no_grad():
        network.layer.weight.fill_(3.0)
    assert network(x).item() == 36 and network.layer.times == 3
    assert network.layer(x).item() == 6  # outside of a call nothing is held


def test_a_call_that_fails_leaves_nothing_behind() -> None:
    network = Twice()
    hold_within(network)
    with pytest.raises(ArithmeticError):
        network(torch.full((1,), torch.nan))
    assert network.layer._held is None
