"""Weights that are computed from parameters: once for each call of a network, not once for each use in it."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

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


def hold_within(network: nn.Module, repeated: Sequence[nn.Module] = (), methods: Sequence[str] = ()) -> None:
    """Let all layers of a network derive their weights when it is called, and forget them when it returns.

    Under autocast they are held in its precision: it keeps its own casts of parameters, but not of what is derived.

    Args:
        network: with layers that derive weights.
        repeated: modules of it that a call of the network calls several times, none within another. The gradients that
            their weights get in each of these calls are summed for all weights together: see `_Share`.
        methods: names of others of its methods that are calls, too.
    """
    layers = _layers(network)
    within = {id(layer) for module in repeated for layer in _layers(module)}
    # Their gradients are complete before the others', which processes then share in the meantime.
    parts = [[x for x in layers if (id(x) in within) == often] for often in (True, False)]

    def hold(*_: object) -> None:
        for part in parts:
            for kind in dict.fromkeys(type(layer) for layer in part):
                group = [layer for layer in part if type(layer) is kind]
                _give(group, kind.derive_all(group))
            _give(part, _as_autocast([layer.derived() for layer in part]))

    def forget(*_: object) -> None:
        for layer in layers:
            layer._held = None

    network.register_forward_pre_hook(hold)
    network.register_forward_hook(forget, always_call=True)  # type: ignore[arg-type]
    for name in methods:
        setattr(network, name, _between(hold, getattr(network, name), forget))
    for module in repeated:
        _share_in_calls(module)


def _between(before: Callable[[], None], method: Callable[..., Any], after: Callable[[], None]) -> Callable[..., Any]:
    @wraps(method)
    def within(*inputs: Any, **more: Any) -> Any:
        before()
        try:
            return method(*inputs, **more)
        finally:
            after()

    return within


def _layers(module: nn.Module) -> list[Derived]:
    return [layer for layer in module.modules() if isinstance(layer, Derived)]


def _give(layers: Sequence[Derived], weights: Sequence[tuple[Tensor, ...]]) -> None:
    for layer, own in zip(layers, weights, strict=True):
        layer._held = own


def _as_autocast(weights: list[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    flat = [x for own in weights for x in own]
    if not flat or not torch.is_autocast_enabled(flat[0].device.type):
        return weights
    dtype = torch.get_autocast_dtype(flat[0].device.type)
    cast: dict[int, Tensor] = {}
    for trains in (True, False):  # cast together with others, frozen weights would ask for a gradient
        own = [x for x in flat if x.requires_grad == trains]
        cast |= zip(map(id, own), _Cast.apply(dtype, *own) if own else (), strict=True)
    return [tuple(cast[id(x)] for x in own) for own in weights]


def _grouped(flat: Any, like: Sequence[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    return [tuple(next(flat) for _ in own) for own in like]


def _share_in_calls(module: nn.Module) -> None:
    """Give a module's layers, in each of its calls, weights of the call's own."""
    layers = _layers(module)
    following: list[tuple[Tensor, ...]] = []

    def before(*_: object) -> None:
        held = [layer._held for layer in layers if layer._held is not None]
        if len(held) < len(layers) or not torch.is_grad_enabled():
            return
        shared = iter(_Share.apply(*[x for own in held for x in own]))
        _give(layers, _grouped(shared, held))
        following[:] = _grouped(shared, held)

    def after(*_: object) -> None:
        if following:
            _give(layers, following)
            following.clear()

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after, always_call=True)  # type: ignore[arg-type]


class _Cast(torch.autograd.Function):
    """Casts many tensors at once, and their gradients back."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.dtypes = [weight.dtype for weight in weights]
        return _cast(weights, [dtype] * len(weights))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        places = [i for i, gradient in enumerate(gradients) if gradient is not None]
        present = [gradient for gradient in gradients if gradient is not None]
        wide = iter(_cast(present, [ctx.dtypes[i] for i in places]))
        return None, *[None if gradient is None else next(wide) for gradient in gradients]


def _cast(tensors: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> tuple[Tensor, ...]:
    out = tuple(torch.empty_like(x, dtype=dtype) for x, dtype in zip(tensors, dtypes, strict=True))
    if out:
        torch._foreach_copy_(out, list(tensors))
    return out


class _Share(torch.autograd.Function):
    """Returns many weights twice: for the next call of a module, and for all calls after it.

    In the backward pass the sums of the gradients then grow call by call, those of all weights at once. Autograd by
    itself adds weight by weight, which costs a GPU hundreds of launches in a step.
    """

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(weight.view_as(weight) for _ in range(2) for weight in weights)

    @staticmethod
    def backward(_: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        pairs = list(zip(gradients[len(gradients) // 2 :], gradients[: len(gradients) // 2], strict=True))
        full = [(later, now) for later, now in pairs if later is not None and now is not None]
        sums = iter(torch._foreach_add([later for later, _ in full], [now for _, now in full]) if full else ())
        return tuple(
            next(sums) if later is not None and now is not None else now if later is None else later
            for later, now in pairs
        )
