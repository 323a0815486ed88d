"""Convolutions with weights of their own making, for inference."""

from torch import Tensor, nn


def frozen_conv(weight: Tensor, bias: Tensor | None, like: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution in eval mode with these weights [C',C/groups,h,w] and [C']; the rest is as in `like`."""
    conv = nn.Conv2d(
        weight.shape[1] * like.groups,
        weight.shape[0],
        weight.shape[2:],  # type: ignore[arg-type]
        like.stride,  # type: ignore[arg-type]
        like.padding,  # type: ignore[arg-type]
        like.dilation,  # type: ignore[arg-type]
        like.groups,
        bias is not None,
        device="meta",
    )
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return conv.eval()
