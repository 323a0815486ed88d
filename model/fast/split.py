"""Convolutions over an image and its objects together, in two parts: the image's is computed once for all objects.

A convolution is linear in its input channels, so its weight can be cut in two, and so can be the block of two of them
at whose head stand the value encoder's and the decoder's fusions. Their weights are large and the features small: over
all frames of a clip at once (`SplitBlock.prepare`), the image's part is much faster than frame by frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.fast.derived import Derived
from model.fast.layout import in_layout_of
from model.layers.blocks import JointConv, JointResidualBlock, merge_objects, per_object, split_objects


class SplitConv(JointConv, Derived):
    """A `JointConv` that convolves image and objects apart."""

    @classmethod
    def of(cls, conv: JointConv) -> "SplitConv":
        """Take a convolution's parameters over."""
        new = cls.__new__(cls)
        new.__dict__.update(conv.__dict__)
        return new

    def derive(self) -> tuple[Tensor, ...]:
        """Cut the weight into the image's and the objects'."""
        training = torch.is_grad_enabled()
        weight = self.weight if training else self.weight.detach()  # a view would still ask for gradients
        own_channels = self.in_channels - self.image_channels
        if self.image_first:
            of_image, own = weight.split((self.image_channels, own_channels), dim=1)
        else:
            own, of_image = weight.split((own_channels, self.image_channels), dim=1)
        if not training:
            return of_image, own
        # They are used more than once, forwards and backwards: they are copied once.
        return in_layout_of(self.weight, of_image), in_layout_of(self.weight, own)

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


class SplitBlock(JointResidualBlock):
    """A `JointResidualBlock` whose first convolutions are split; both of its parts of the image may come prepared."""

    conv1: SplitConv  # type: ignore[assignment]
    downsample: SplitConv  # type: ignore[assignment]

    @classmethod
    def of(cls, block: JointResidualBlock) -> "SplitBlock":
        """Take a block's modules over."""
        new = cls.__new__(cls)
        new.__dict__.update(block.__dict__)
        new.conv1, new.downsample = SplitConv.of(block.conv1), SplitConv.of(block.downsample)
        return new

    def prepare(self, image_BCHW: Tensor) -> Tensor:
        """Compute what the block makes of the image alone: [B,1,2*C',H,W], terms of conv1 and of the shortcut."""
        return torch.cat(self._image_parts(image_BCHW), dim=2)

    def _image_parts(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        image = in_layout_of(self.conv1.weight, image_BCHW)
        return self.conv1.image_part(F.relu(image)), self.downsample.image_part(image)

    def forward(self, image: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Apply the block to the image's features [B,C,H,W], or what was prepared of them, and every object's own."""
        part, shortcut = image.chunk(2, dim=2) if image.ndim == 5 else self._image_parts(image)
        batch = own_BOCHW.shape[0]
        own = split_objects(in_layout_of(self.conv1.weight, merge_objects(own_BOCHW)), batch)
        out = self.conv1.add_objects(part, F.relu(own))
        out = per_object(self.conv2, F.relu(out, inplace=not torch.is_grad_enabled()))
        return add_to(out, self.downsample.add_objects(shortcut, own))


def add_to(x: Tensor, y: Tensor) -> Tensor:
    """Return x + y, in x's memory where autograd does not watch: of a view changed in place it makes copies."""
    return x + y if torch.is_grad_enabled() else x.add_(y)
