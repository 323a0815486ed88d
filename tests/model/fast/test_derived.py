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

    def forward_twice(self, x: Tensor) -> Tensor:
        return self.forward(self.forward(x))


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


class Sum(nn.Module):
    """Calls a module three times, and another one of its layers once more than that."""

    def __init__(self) -> None:
        super().__init__()
        self.often = nn.Sequential(Doubled(), Doubled())
        self.once = Doubled()

    def forward(self, x: Tensor) -> Tensor:
        for factor in (1.0, 2.0, 3.0):
            x = self.often(x * factor)
        out: Tensor = self.once(x)
        return out


def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(network(x).square().sum(), list(network.parameters())))


def test_gradients_of_a_module_that_is_called_again_are_summed_call_by_call() -> None:
    plain, shared = Sum(), Sum()
    for network, repeated in ((plain, []), (shared, [shared.often])):
        hold_within(network, repeated)
        for i, weight in enumerate(network.parameters()):
            weight.data.fill_(0.5 + 0.1 * i)
    x = torch.tensor([0.7])
    assert shared(x).equal(plain(x))
    torch.testing.assert_close(gradients(shared, x), gradients(plain, x), atol=0, rtol=1e-6)
    nodes, seen = [shared(x).grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
    assert sum(type(node).__name__ == "_ShareBackward" for node in seen) == 3
    with torch.no_grad():
        assert shared(x).equal(plain(x))


def test_a_module_that_is_not_called_gets_no_gradient() -> None:
    network = Sum()
    hold_within(network, [network.often])
    network.forward = network.once.forward  # type: ignore[method-assign]
    network(torch.ones(1)).backward()
    assert network.once.weight.grad is not None
    assert all(weight.grad is None for weight in network.often.parameters())


def test_weights_are_held_in_the_precision_of_autocast() -> None:
    network = Twice()
    hold_within(network)
    network.layer.weight.data.fill_(1 / 3)
    x = torch.ones(1, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(x)
    rounded = torch.tensor(2 / 3).bfloat16()
    assert out.dtype == torch.bfloat16 and out.equal(rounded * (rounded * x))
    out.backward()
    weight = network.layer.weight
    assert weight.grad is not None and weight.grad.dtype == torch.float32
    torch.testing.assert_close(weight.grad.item(), 2 * 2 * 2 / 3, atol=0, rtol=0.02)


def test_what_is_frozen_asks_for_no_gradient_under_autocast() -> None:
    network = Sum()
    network.often.requires_grad_(False)
    hold_within(network)
    seen: list[bool] = []
    network.often.register_forward_hook(lambda _, __, out: seen.append(out.requires_grad))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(torch.ones(1))
    assert seen == [False, False, False] and out.requires_grad


def test_weights_are_held_for_other_methods_too() -> None:
    network = Twice()
    hold_within(network, methods=("forward_twice",))
    with pytest.raises(ArithmeticError):
        network.forward_twice(torch.full((1,), torch.nan))
    assert network.layer._held is None and network.layer.times == 1
    assert network.forward_twice(torch.ones(1)).item() == 16 and network.layer.times == 2
    assert network.layer._held is None
