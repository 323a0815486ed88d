"""Half precision: weights are cast once, not by autocast for every use."""

import torch
from torch import nn

from model.fast.split import SplitConv

# What autocast computes in half precision; all others keep their weights.
_CAST = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@torch.no_grad()
def cast_for_good(network: nn.Module, dtype: torch.dtype) -> None:
    """Give the layers that autocast computes in `dtype` weights of that type, in place; for inference.

    The numbers are those that autocast computes with. The weights are new: the network may share its own with another.
    """
    layout = torch.channels_last
    for layer in network.modules():
        if not isinstance(layer, _CAST):
            continue
        for name, weight in layer._parameters.items():
            if weight is not None:
                half = weight.detach().to(dtype)
                half = half.contiguous(memory_format=layout) if half.ndim == 4 else half
                layer._parameters[name] = nn.Parameter(half, requires_grad=False)
        if isinstance(layer, SplitConv):
            layer._held = tuple(part.contiguous(memory_format=layout) for part in layer.derive())
