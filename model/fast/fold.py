"""BatchNorm as part of the convolution in front of it.

With statistics that it keeps, it only scales and shifts: folded, the result is equal up to rounding, and autograd has
neither its backward pass nor one more feature map to keep.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.fast.derived import Derived
from model.fast.frozen import frozen_conv
from model.fast.layout import starts_cost


def pairs(module: nn.Module) -> list[tuple[nn.Module, str, str]]:
    """Find each convolution that feeds a BatchNorm and nothing else: their parent and their names in it.

    In the trunks, it stands right in front of it.
    """
    found = []
    for parent in module.modules():
        children = dict(parent.named_children())
        for before, name in zip(children, list(children)[1:], strict=False):
            if isinstance(children[name], nn.BatchNorm2d) and isinstance(children[before], nn.Conv2d):
                found.append((parent, before, name))
    return found


@torch.no_grad()
def fold_for_good(module: nn.Module) -> None:
    """Replace every pair by one convolution with new weights, in place, for a network in eval mode."""
    for parent, conv, norm in pairs(module):
        plain = getattr(parent, conv)
        weight, bias = FoldedConv(plain, getattr(parent, norm)).derive()
        setattr(parent, conv, frozen_conv(weight, bias, like=plain))
        setattr(parent, norm, nn.Identity())


def multiply(weights: Sequence[Tensor], scales: Sequence[Tensor]) -> list[Tensor]:
    """Return each weight [O,C,h,w] times its scale [O,1,1,1]; on a GPU, those of one shape together.

    There the products of small tensors cost more to start than to do; on a CPU, to stack them costs more than it saves.
    """
    if not starts_cost(weights[0].device):
        return [weight * scale for weight, scale in zip(weights, scales, strict=True)]
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, weight in enumerate(weights):
        alike.setdefault((*weight.shape, *weight.stride()), []).append(i)
    out: dict[int, Tensor] = {}
    for places in alike.values():
        # Stacked as they lie in memory, the parts keep their layout.
        order = sorted(range(4), key=weights[places[0]].stride, reverse=True)
        back = [order.index(dim) for dim in range(4)]
        stacked = torch.stack([weights[i].permute(order) for i in places])
        scale = torch.stack([scales[i].permute(order) for i in places])
        products = (stacked * scale).unbind()
        out |= {i: product.permute(back) for i, product in zip(places, products, strict=True)}
    return [out[i] for i in range(len(weights))]


class FoldedConv(Derived):
    """A convolution and a BatchNorm that keeps its statistics, whose parameters train."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        """Take both over."""
        super().__init__()
        self.conv, self.norm = conv, norm

    def derive(self) -> tuple[Tensor, ...]:
        """Compute the weight and bias of both together."""
        conv, norm = self.conv, self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
        return conv.weight * scale[:, None, None, None], norm.bias - mean * scale

    @classmethod
    def derive_all(cls, layers: Sequence[Derived]) -> list[tuple[Tensor, ...]]:
        """Compute all scales and shifts at once: many small operations would cost a GPU more to start than to do."""
        folded = [layer for layer in layers if isinstance(layer, FoldedConv)]
        if len({layer.norm.eps for layer in folded}) != 1:
            return super().derive_all(layers)
        if len({layer.trains() for layer in folded}) > 1:
            # Joined with others, the scales of frozen layers would ask for a gradient.
            groups = [[layer for layer in folded if layer.trains() == trains] for trains in (True, False)]
            found = {id(x): own for group in groups for x, own in zip(group, cls.derive_all(group), strict=True)}
            return [found[id(layer)] for layer in folded]
        norms, sizes = [layer.norm for layer in folded], [layer.norm.num_features for layer in folded]
        variance = torch.cat([norm.running_var for norm in norms if norm.running_var is not None])
        means = [norm.running_mean for norm in norms if norm.running_mean is not None]
        mean = torch.cat(means)
        if any(layer.conv.bias is not None for layer in folded):
            pairs_of = zip(folded, means, strict=True)
            mean = mean - torch.cat(
                [torch.zeros_like(own) if x.conv.bias is None else x.conv.bias for x, own in pairs_of]
            )
        scale = torch.cat([norm.weight for norm in norms]) * torch.rsqrt(variance + norms[0].eps)
        shift = torch.cat([norm.bias for norm in norms]) - mean * scale
        scales = [own[:, None, None, None] for own in scale.split(sizes)]
        weights = multiply([layer.conv.weight for layer in folded], scales)
        return list(zip(weights, shift.split(sizes), strict=True))

    def trains(self) -> bool:
        """Return whether any of its parameters does."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise [N,C,H,W]."""
        weight, bias = self.derived()
        conv = self.conv
        assert isinstance(conv.padding, tuple)
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
