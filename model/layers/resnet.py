"""Residual trunks up to stride 16: ResNet-50, ResNet-18, and that of the size `tiny`.

Parameter names follow the released STCN and XMem checkpoints: the key encoder calls its first stage `res2`, the value
encoder calls it `layer1`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ResNetTrunk:
    """Shape of a residual trunk: stem width, then width and number of blocks of the stages at stride 4, 8 and 16."""

    stem: int
    widths: tuple[int, int, int]
    blocks: tuple[int, int, int]
    bottleneck: bool

    @property
    def channels(self) -> tuple[int, int, int]:
        """Output channels at stride 4, 8 and 16."""
        expansion = Bottleneck.expansion if self.bottleneck else BasicBlock.expansion
        first, second, third = (width * expansion for width in self.widths)
        return first, second, third

    def build_stem(self, in_channels: int, bias: bool = False) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
        """Build the first convolution and its normalisation."""
        return nn.Conv2d(in_channels, self.stem, 7, stride=2, padding=3, bias=bias), nn.BatchNorm2d(self.stem)

    def after_stem(self, x: Tensor) -> Tensor:
        """Map what the stem gives, at stride 2, to what the first stage takes, at stride 4."""
        return F.max_pool2d(F.relu(x, inplace=True), 3, stride=2, padding=1)

    def build_stages(self, bias: bool = False) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
        """Build the three residual stages (strides 4, 8, 16)."""
        block: Callable[[int, int, int, bool], BasicBlock | Bottleneck] = Bottleneck if self.bottleneck else BasicBlock
        stages = []
        in_channels = self.stem
        for index, (width, count, out_channels) in enumerate(zip(self.widths, self.blocks, self.channels, strict=True)):
            layers = []
            for position in range(count):
                stride = 2 if index > 0 and position == 0 else 1
                layers.append(block(in_channels, width, stride, bias))
                in_channels = out_channels
            stages.append(nn.Sequential(*layers))
        first, second, third = stages
        return first, second, third


RESNET50 = ResNetTrunk(stem=64, widths=(64, 128, 256), blocks=(3, 4, 6), bottleneck=True)
RESNET18 = ResNetTrunk(stem=64, widths=(64, 128, 256), blocks=(2, 2, 2), bottleneck=False)
TINY_TRUNK = ResNetTrunk(stem=32, widths=(32, 64, 128), blocks=(2, 2, 2), bottleneck=False)


def _shortcut(in_channels: int, out_channels: int, stride: int, bias: bool) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=bias), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (ResNet-18)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, bias: bool) -> None:
        """Build the block; `bias` gives the convolutions a bias in front of their BatchNorm, as STCN's release has."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,width,H/stride,W/stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut (ResNet-50); the 3x3 convolution carries the stride."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, bias: bool) -> None:
        """Build the block with `4 * width` output channels."""
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=bias)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,4*width,H/stride,W/stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += shortcut
        return self.relu(out)
