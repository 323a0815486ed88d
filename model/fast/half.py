"""Half precision: weights are cast once, not by autocast for every use."""

import torch
from torch import Tensor, nn

from model.layers.blocks import UpsampleBlock

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


class HalfUpsampleBlock(UpsampleBlock):
    """An `UpsampleBlock` that interpolates half precision as it is; autocast would go to fp32, at twice the size."""

    def enlarge(self, x: Tensor) -> Tensor:
        """Double height and width of [N,C,H,W] bilinearly; the sums run in fp32 all the same."""
        with torch.autocast(x.device.type, enabled=False):
            return super().enlarge(x)
