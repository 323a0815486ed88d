"""Convolutions over an image and its objects together, in two parts: the image's is computed once for all objects.

A convolution is linear in its input channels, so its weight can be cut in two, and so can be the block of two of them
at whose head stand the value encoder's and the decoder's fusions. Their weights are large and the features small: over
all frames of a clip at once (`SplitBlock.prepare`), the image's part is much faster than frame by frame.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.fast.derived import Derived
from model.fast.frozen import frozen_conv
from model.fast.layout import in_layout_of
from model.fast.recast import recast
from model.layers.blocks import JointConv, JointResidualBlock, merge_objects, per_object, split_objects
from util.device import prefers_channels_last


class SplitConv(JointConv, Derived):
    """A `JointConv` that convolves image and objects apart."""

    def derive(self) -> tuple[Tensor, ...]:
        """Cut the weight into the image's and the objects'."""
        # They are used more than once, forwards and backwards: they are copied once.
        of_image, own = cut(self)
        return self.arrange(of_image), self.arrange(own)

    def arrange(self, x: Tensor) -> Tensor:
        """Return x [N,C,H,W] in the memory layout of the weights."""
        return in_layout_of(self.weight, x)

    def image_part(self, image_BCHW: Tensor) -> Tensor:
        """Convolve the image: a term [B,1,C',H',W'] of every object's result."""
        assert isinstance(self.padding, tuple)
        return F.conv2d(image_BCHW, self.derived()[0], self.bias, self.stride, self.padding).unsqueeze(1)

    def add_objects(self, image_part_B1CHW: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Convolve the objects' own channels, and add the image's part."""
        assert isinstance(self.padding, tuple)
        own = F.conv2d(merge_objects(own_BOCHW), self.derived()[1], None, self.stride, self.padding)
        return add_to(split_objects(own, own_BOCHW.shape[0]), image_part_B1CHW)

    def forward(self, image_BCHW: Tensor, own_BOCHW: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve the image's features with every object's own: [B,O,C',H',W']."""
        return self.add_objects(self.image_part(image_BCHW), own_BOCHW)


class PartedConv(nn.Module):
    """A `JointConv` that is two convolutions for good, for inference."""

    def __init__(self, conv: JointConv) -> None:
        """Copy a convolution's parameters."""
        super().__init__()
        of_image, own = cut(conv)
        self.of_image, self.own = frozen_conv(of_image, conv.bias, like=conv), frozen_conv(own, None, like=conv)

    def arrange(self, x: Tensor) -> Tensor:
        """Return x [N,C,H,W] in the memory layout of an inference network."""
        return x.contiguous(memory_format=torch.channels_last) if prefers_channels_last(x.device) else x

    def image_part(self, image_BCHW: Tensor) -> Tensor:
        """Convolve the image: a term [B,1,C',H',W'] of every object's result."""
        return self.of_image(image_BCHW).unsqueeze(1)  # type: ignore[no-any-return]

    def add_objects(self, image_part_B1CHW: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Convolve the objects' own channels, and add the image's part."""
        return add_to(per_object(self.own, own_BOCHW), image_part_B1CHW)

    def forward(self, image_BCHW: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Convolve the image's features with every object's own: [B,O,C',H',W']."""
        return self.add_objects(self.image_part(image_BCHW), own_BOCHW)


class SplitBlock(JointResidualBlock):
    """A `JointResidualBlock` whose first convolutions are split; both of its parts of the image may come prepared."""

    conv1: SplitConv | PartedConv  # type: ignore[assignment]
    downsample: SplitConv | PartedConv  # type: ignore[assignment]

    @classmethod
    def of(cls, block: JointResidualBlock, conv: Callable[[JointConv], SplitConv | PartedConv]) -> "SplitBlock":
        """Take a block's modules over; `conv` splits its first convolutions."""
        new = recast(block, cls)
        new.conv1, new.downsample = conv(block.conv1), conv(block.downsample)
        return new

    def prepare(self, image_BCHW: Tensor) -> Tensor:
        """Compute what the block makes of the image alone: [B,1,2*C',H,W], terms of conv1 and of the shortcut."""
        return torch.cat(self._image_parts(image_BCHW), dim=2)

    def _image_parts(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        image = self.conv1.arrange(image_BCHW)
        return self.conv1.image_part(F.relu(image)), self.downsample.image_part(image)

    def forward(self, image: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Apply the block to the image's features [B,C,H,W], or what was prepared of them, and every object's own."""
        part, shortcut = image.chunk(2, dim=2) if image.ndim == 5 else self._image_parts(image)
        batch = own_BOCHW.shape[0]
        own = split_objects(self.conv1.arrange(merge_objects(own_BOCHW)), batch)
        out = self.conv1.add_objects(part, F.relu(own))
        out = per_object(self.conv2, F.relu(out, inplace=not torch.is_grad_enabled()))
        return add_to(out, self.downsample.add_objects(shortcut, own))


def cut(conv: JointConv) -> tuple[Tensor, Tensor]:
    """Return the parts of a weight for the channels of the image, and of the objects."""
    own_channels = conv.in_channels - conv.image_channels
    if conv.image_first:
        of_image, own = conv.weight.split((conv.image_channels, own_channels), dim=1)
    else:
        own, of_image = conv.weight.split((own_channels, conv.image_channels), dim=1)
    return of_image, own


def add_to(x: Tensor, y: Tensor) -> Tensor:
    """Return x + y, in x's memory where autograd does not watch: of a view changed in place it makes copies."""
    return x + y if torch.is_grad_enabled() else x.add_(y)
