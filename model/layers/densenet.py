"""DenseNet trunk up to stride 16: DenseNet-121's first three blocks, and a small one for size `tiny`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from util.image import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """Shape of a trunk: channels of the stem, channels that a layer adds, layers of the three blocks."""

    stem: int
    growth: int
    blocks: tuple[int, int, int]

    @property
    def channels(self) -> tuple[int, int, int]:
        """Output channels at stride 4, 8 and 16; each block starts with half of those before it."""
        first = self.stem + self.growth * self.blocks[0]
        second = first // 2 + self.growth * self.blocks[1]
        return first, second, second // 2 + self.growth * self.blocks[2]


DENSENET121 = DenseConfig(stem=64, growth=32, blocks=(6, 12, 24))
TINY_DENSENET = DenseConfig(stem=32, growth=16, blocks=(2, 4, 6))


class DenseEncoder(nn.Module):
    """Image features at strides 16, 8 and 4.

    The released encoders normalise pictures themselves and keep the figures for it in `mean` and `std`. Ours get
    normalised pictures; the buffers hold a place in the state dict.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: DenseConfig) -> None:
        """Build torchvision's DenseNet without what follows its third block."""
        from torchvision.models.densenet import DenseNet  # it would double the time that every program takes to start

        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[None, :, None, None])
        whole = DenseNet(config.growth, config.blocks, config.stem, num_classes=1).features
        for name, layer in whole.named_children():
            if name != "norm5":
                self.add_module(name, layer)

    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ImageNet-normalised [B,3,H,W] to s16, s8, s4."""
        x, of_blocks = image_B3HW, []
        for name, layer in self.named_children():
            x = layer(x)
            if name.startswith("denseblock"):
                of_blocks.append(x)
        s4, s8, s16 = of_blocks
        return s16, s8, s4
