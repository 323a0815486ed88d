"""Convolution blocks shared by the value encoder and the decoder.

Objects are a dimension. Image features [B,C,H,W] are shared by a clip's objects [B,O,C,H,W]: a convolution over their
concatenation is computed as the sum of two, so that the image's part is computed once, however many objects there are.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def merge_objects(x_BOCHW: Tensor) -> Tensor:
    """View [B,O,...] as [B*O,...]."""
    # flatten() leaves a single image of a single object with strides that PyTorch takes for channels-first: each layer
    # behind it would then copy a channels-last tensor.
    return x_BOCHW.squeeze(0) if x_BOCHW.shape[0] == 1 else x_BOCHW.flatten(0, 1)


def split_objects(x: Tensor, batch: int) -> Tensor:
    """View [B*O,...] as [B,O,...]."""
    return x.unsqueeze(0) if batch == 1 else x.unflatten(0, (batch, -1))


def per_object(layer: nn.Module, x_BOCHW: Tensor) -> Tensor:
    """Apply a layer of [N,C,H,W] tensors to every object: [B,O,C,H,W] -> [B,O,C',H',W']."""
    return split_objects(layer(merge_objects(x_BOCHW)), x_BOCHW.shape[0])


def in_layout_of(weight: Tensor, x: Tensor) -> Tensor:
    """Return x [N,C,H,W] in the memory layout of a 3x3 weight: a convolution of two layouts would copy for each use."""
    return x.contiguous(memory_format=torch.contiguous_format if weight.is_contiguous() else torch.channels_last)


def add_to(x: Tensor, y: Tensor) -> Tensor:
    """Return x + y, in x's memory where autograd does not watch: of a view changed in place it makes copies."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


class ImagePart(NamedTuple):
    """What a residual block over cat(image, object) makes of the image alone.

    Attributes:
        conv: the image's share of the first convolution [B,C',H,W].
        shortcut: its share of the shortcut [B,C',H,W].
        conv_weight: the first convolution's weight for the objects' own channels.
        shortcut_weight: the shortcut's.
    """

    conv: Tensor
    shortcut: Tensor
    conv_weight: Tensor
    shortcut_weight: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> "ImagePart":
        """Apply a function to the features, to select frames or clips for example."""
        return self._replace(conv=change(self.conv), shortcut=change(self.shortcut))

    def chunk(self, count: int) -> "list[ImagePart]":
        """Cut a batch into `count` equal parts."""
        pairs = zip(self.conv.chunk(count), self.shortcut.chunk(count), strict=True)
        return [self._replace(conv=conv, shortcut=shortcut) for conv, shortcut in pairs]


def image_share(conv: nn.Conv2d, image_BCHW: Tensor, image_first: bool) -> tuple[Tensor, Tensor]:
    """Convolve the image's channels of cat(image, object); return the result and the weight for the others.

    A convolution is linear in its input channels, so the weight is cut in two: the image's share is computed once for
    all objects, and for all frames of a clip together.

    Args:
        conv: convolution over both inputs' channels.
        image_BCHW: features of the image, the same for all its objects.
        image_first: whether the concatenation order is (image, object) or (object, image).
    """
    n_image = image_BCHW.shape[1]
    n_own = conv.in_channels - n_image
    weight = conv.weight if torch.is_grad_enabled() else conv.weight.detach()  # a view would still ask for gradients
    if image_first:
        of_image, own = weight.split((n_image, n_own), dim=1)
    else:
        own, of_image = weight.split((n_own, n_image), dim=1)
    if torch.is_grad_enabled():  # they are used more than once, forwards and backwards: they are copied once
        of_image, own = in_layout_of(conv.weight, of_image), in_layout_of(conv.weight, own)
    assert isinstance(conv.padding, tuple)
    return F.conv2d(image_BCHW, of_image, conv.bias, conv.stride, conv.padding), own


def object_share(conv: nn.Conv2d, weight: Tensor, own_BOCHW: Tensor, of_image_BCHW: Tensor) -> Tensor:
    """Convolve the objects' own channels with the weight of `image_share`, and add the image's share."""
    assert isinstance(conv.padding, tuple)
    of_objects = F.conv2d(merge_objects(own_BOCHW), weight, None, conv.stride, conv.padding)
    return add_to(split_objects(of_objects, own_BOCHW.shape[0]), of_image_BCHW.unsqueeze(1))


class ResidualBlock(nn.Module):
    """`conv2(relu(conv1(relu(x)))) + downsample(x)`: a pre-activation block without normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the block; the shortcut is a 3x3 convolution where the widths differ."""
        super().__init__()
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',H,W]."""
        out = self.conv2(F.relu(self.conv1(F.relu(x)), inplace=True))
        out += x if self.downsample is None else self.downsample(x)
        return out

    def image_part(self, image_BCHW: Tensor, image_first: bool) -> ImagePart:
        """Compute what depends on the image alone, for `forward_with_image`; see `image_share`."""
        assert self.downsample is not None, "a block over two inputs changes the width"
        conv, conv_weight = image_share(self.conv1, F.relu(image_BCHW), image_first)
        shortcut, shortcut_weight = image_share(self.downsample, image_BCHW, image_first)
        return ImagePart(conv, shortcut, conv_weight, shortcut_weight)

    def forward_with_image(self, image: ImagePart, own_BOCHW: Tensor) -> Tensor:
        """Apply the block to the concatenation of the image's features and every object's own."""
        assert self.downsample is not None, "a block over two inputs changes the width"
        out = object_share(self.conv1, image.conv_weight, F.relu(own_BOCHW), image.conv)
        out = per_object(self.conv2, F.relu(out, inplace=not torch.is_grad_enabled()))
        return add_to(out, object_share(self.downsample, image.shortcut_weight, own_BOCHW, image.shortcut))


class ChannelGate(nn.Module):
    """Channel half of CBAM: a gate per channel from average- and max-pooled descriptors through one MLP."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        """Build the gate with `channels // reduction` hidden units."""
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate [N,C,H,W] by channel."""
        gate = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))
        return x * torch.sigmoid(gate)[:, :, None, None]


class _SpatialConv(nn.Module):
    # The released checkpoints hold this convolution one level down, as `SpatialGate.spatial.conv`.
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)


class SpatialGate(nn.Module):
    """Spatial half of CBAM: a gate per position from [max, mean] over channels through a 7x7 convolution."""

    def __init__(self) -> None:
        """Build the gate."""
        super().__init__()
        self.spatial = _SpatialConv()

    def forward(self, x: Tensor) -> Tensor:
        """Gate [N,C,H,W] by position."""
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial.conv(pooled))


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., 2018): channel gate, then spatial gate."""

    def __init__(self, channels: int) -> None:
        """Build both gates."""
        super().__init__()
        self.ChannelGate = ChannelGate(channels)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        """Gate [N,C,H,W]."""
        out: Tensor = self.SpatialGate(self.ChannelGate(x))
        return out


class FusionBlock(nn.Module):
    """Fuses image features with each object's: `y = block1(x); block2(y + CBAM(y))`."""

    def __init__(self, image_channels: int, object_channels: int, channels: int, image_first: bool) -> None:
        """Build the block; `image_first` is the order in which its weights expect the two inputs."""
        super().__init__()
        self.image_first = image_first
        self.block1 = ResidualBlock(image_channels + object_channels, channels)
        self.attention = CBAM(channels)
        self.block2 = ResidualBlock(channels, channels)

    def image_part(self, image_BCHW: Tensor) -> ImagePart:
        """Compute what depends on the image alone."""
        return self.block1.image_part(image_BCHW, self.image_first)

    def forward(self, image: Tensor | ImagePart, objects_BOCHW: Tensor) -> Tensor:
        """Fuse an image's features [B,C,H,W], or their `image_part`, with [B,O,C',H,W] to [B,O,channels,H,W]."""
        part = image if isinstance(image, ImagePart) else self.image_part(image)
        y = self.block1.forward_with_image(part, objects_BOCHW)
        y = y + per_object(self.attention, y)
        return per_object(self.block2, y)


class UpsampleBlock(nn.Module):
    """`out_conv(skip_conv(skip) + bilinear x2(x))`; the skip convolution is computed once for all objects."""

    def __init__(self, skip_channels: int, in_channels: int, out_channels: int) -> None:
        """Build the block."""
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, in_channels, 3, padding=1)
        self.out_conv = ResidualBlock(in_channels, out_channels)

    def forward(self, skip_BCHW: Tensor, x_BOCHW: Tensor) -> Tensor:
        """Upsample [B,O,C,H/2,W/2] to [B,O,out,H,W] with the skip features [B,C',H,W]."""
        x = in_layout_of(self.out_conv.conv1.weight, merge_objects(x_BOCHW))
        up = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        up = add_to(split_objects(up, x_BOCHW.shape[0]), self.skip_conv(skip_BCHW).unsqueeze(1))
        return per_object(self.out_conv, up)
