"""Modules that compute with the parameters of others in their own way, and take their places."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def recast(module: nn.Module, kind: type[Module]) -> Module:
    """Return a module of a class that builds nothing of its own, with the parameters and children of `module`."""
    new = kind.__new__(kind)
    new.__dict__.update(module.__dict__)
    new._modules = dict(module._modules)  # another child in the one shall be none in the other
    return new


def replace_where(
    module: nn.Module,
    chosen: Callable[[nn.Module], bool],
    by: Callable[..., nn.Module],
    spared: tuple[type[nn.Module], ...] = (),
) -> None:
    """Replace every chosen module in another one by what `by` makes of it, but none in chosen or `spared` ones."""
    for name, child in module.named_children():
        if chosen(child):
            setattr(module, name, by(child))
        elif not isinstance(child, spared):
            replace_where(child, chosen, by, spared)
