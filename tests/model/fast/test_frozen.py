"""A convolution with given weights has the other properties of its model."""

import torch
import torch.nn.functional as F
from torch import nn

from model.fast.frozen import frozen_conv


@torch.no_grad()
def test_frozen_conv() -> None:
    torch.manual_seed(0)
    like = nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(0, 2), dilation=(2, 1), groups=2)
    weight, bias, x = torch.randn(8, 2, 3, 5), torch.randn(8), torch.randn(2, 4, 9, 8)
    for given in (bias, None):
        conv = frozen_conv(weight, given, like)
        torch.testing.assert_close(conv(x), F.conv2d(x, weight, given, (1, 2), (0, 2), (2, 1), 2))
        assert not conv.training and not any(p.requires_grad for p in conv.parameters())
        assert (conv.in_channels, conv.out_channels) == (4, 8)
