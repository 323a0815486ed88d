"""Folding BatchNorm into the convolutions in front of it, for inference."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norm(model: Network) -> Network:
    """Return an inference copy of a network in which every BatchNorm behind a convolution is part of it.

    The copy computes the same in eval mode, up to rounding. It shares all other weights with the original, which stays
    as it is.
    """
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    folded = copy.deepcopy(model, memo=shared).eval()
    for module in list(folded.modules()):
        children = dict(module.named_children())
        for conv_name, bn_name in _pairs(children):
            conv, norm = children[conv_name], children[bn_name]
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, bn_name, nn.Identity())
    return folded


def _pairs(children: dict[str, nn.Module]) -> list[tuple[str, str]]:
    # In the trunks, a convolution right in front of a BatchNorm feeds it and nothing else.
    names = list(children)
    return [
        (before, name)
        for before, name in zip(names, names[1:], strict=False)
        if isinstance(children[name], nn.BatchNorm2d) and isinstance(children[before], nn.Conv2d)
    ]
