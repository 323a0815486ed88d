"""EfficientNet-Lite0 up to stride 16, the trunk of the size `small`: much sight for few operations.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019); the Lite variant
has ReLU6 in place of swish, and no squeeze-and-excitation. The modules are called as those of the residual trunks.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-3  # of BatchNorm, as the published weights want it


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of equal blocks: channels that they give, their number, expansion, kernel, stride of the first."""

    channels: int
    blocks: int
    expansion: int
    kernel: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class EfficientNetTrunk:
    """Shape of an EfficientNet: stem width, then the groups of the stages at stride 4, 8 and 16."""

    stem: int
    stages: tuple[tuple[Group, ...], tuple[Group, ...], tuple[Group, ...]]

    @property
    def channels(self) -> tuple[int, int, int]:
        """Output channels at stride 4, 8 and 16."""
        first, second, third = (groups[-1].channels for groups in self.stages)
        return first, second, third

    def build_stem(self, in_channels: int, bias: bool = False) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
        """Build the first convolution and its normalisation."""
        conv = nn.Conv2d(in_channels, self.stem, 3, stride=2, padding=1, bias=bias)
        return conv, nn.BatchNorm2d(self.stem, eps=_EPS)

    def after_stem(self, x: Tensor) -> Tensor:
        """Map what the stem gives to what the first stage takes, both at stride 2."""
        return F.relu6(x, inplace=True)

    def build_stages(self, bias: bool = False) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
        """Build the three stages (strides 4, 8, 16)."""
        built, in_channels = [], self.stem
        for groups in self.stages:
            blocks = []
            for group in groups:
                for position in range(group.blocks):
                    blocks.append(InvertedResidual(in_channels, group, group.stride if position == 0 else 1, bias))
                    in_channels = group.channels
            built.append(nn.Sequential(*blocks))
        first, second, third = built
        return first, second, third


EFFICIENTNET_LITE0 = EfficientNetTrunk(
    stem=32,
    stages=(
        (
            Group(channels=16, blocks=1, expansion=1, kernel=3, stride=1),
            Group(channels=24, blocks=2, expansion=6, kernel=3, stride=2),
        ),
        (Group(channels=40, blocks=2, expansion=6, kernel=5, stride=2),),
        (
            Group(channels=80, blocks=3, expansion=6, kernel=3, stride=2),
            Group(channels=112, blocks=3, expansion=6, kernel=5, stride=1),
        ),
    ),
)


class InvertedResidual(nn.Module):
    """1x1, depthwise and 1x1 convolution, wide between the two, with a shortcut where input and output fit."""

    def __init__(self, in_channels: int, group: Group, stride: int, bias: bool) -> None:
        """Build a block of a group; with an expansion of 1 there is no first convolution."""
        super().__init__()
        width, out_channels = in_channels * group.expansion, group.channels
        self.conv1: nn.Module = nn.Identity()
        if group.expansion > 1:
            self.conv1 = nn.Conv2d(in_channels, width, 1, bias=bias)
            self.bn1 = nn.BatchNorm2d(width, eps=_EPS)
        padding = group.kernel // 2
        self.conv2 = nn.Conv2d(width, width, group.kernel, stride, padding, groups=width, bias=bias)
        self.bn2 = nn.BatchNorm2d(width, eps=_EPS)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=bias)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=_EPS)
        self.relu = nn.ReLU6(inplace=True)
        self.expands, self.has_shortcut = group.expansion > 1, stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,C',H/stride,W/stride]."""
        out = self.relu(self.bn1(self.conv1(x))) if self.expands else x
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.has_shortcut:
            out += x
        return out
