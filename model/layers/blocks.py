"""Convolution blocks shared by the value encoder and the decoder.

Objects are a dimension. Image features [B,C,H,W] are shared by a clip's objects [B,O,C,H,W].
"""

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


def concatenate(parts: list[Tensor]) -> Tensor:
    """Concatenate the channels of [B,O,C,H,W] tensors, those of a single image in their memory layout."""
    if parts[0].shape[0] > 1:  # of five dimensions PyTorch makes channels-first
        return torch.cat(parts, dim=2)
    return torch.cat([part.squeeze(0) for part in parts], dim=1).unsqueeze(0)


class JointConv(nn.Conv2d):
    """A convolution over the channels of an image and of each of its objects together."""

    def __init__(
        self,
        image_channels: int,
        own_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        image_first: bool,
        stride: int = 1,
    ) -> None:
        """Build it; `image_first` is the order in which its weights expect the two inputs."""
        super().__init__(image_channels + own_channels, out_channels, kernel, stride, kernel // 2)
        self.image_channels = image_channels
        self.image_first = image_first

    def forward(self, image_BCHW: Tensor, own_BOCHW: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve the image's features, one for each clip or for all, with every object's own: [B,O,C',H',W']."""
        image_BOCHW = image_BCHW.unsqueeze(1).expand(*own_BOCHW.shape[:2], -1, -1, -1)
        joined = [image_BOCHW, own_BOCHW] if self.image_first else [own_BOCHW, image_BOCHW]
        return split_objects(super().forward(merge_objects(torch.cat(joined, dim=2))), own_BOCHW.shape[0])


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


class JointResidualBlock(nn.Module):
    """A `ResidualBlock` over the channels of an image and of each of its objects together."""

    def __init__(self, image_channels: int, own_channels: int, out_channels: int, image_first: bool) -> None:
        """Build the block; `image_first` is the order in which its weights expect the two inputs."""
        super().__init__()
        self.downsample = JointConv(image_channels, own_channels, out_channels, image_first=image_first)
        self.conv1 = JointConv(image_channels, own_channels, out_channels, image_first=image_first)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def prepare(self, image_BCHW: Tensor) -> Tensor:
        """Do what can be done before the objects are known: nothing here; `model.fast` computes the image's part."""
        return image_BCHW

    def forward(self, image_BCHW: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Apply the block to the image's features with every object's own: [B,O,C',H,W]."""
        out = self.conv1(F.relu(image_BCHW), F.relu(own_BOCHW))
        return per_object(self.conv2, F.relu(out)) + self.downsample(image_BCHW, own_BOCHW)


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
        average, largest = self.mlp(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))])).chunk(2)
        return x * torch.sigmoid(average + largest)[:, :, None, None]


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
        self.block1 = JointResidualBlock(image_channels, object_channels, channels, image_first)
        self.attention = CBAM(channels)
        self.block2 = ResidualBlock(channels, channels)

    def prepare(self, image_BCHW: Tensor) -> Tensor:
        """Do what can be done before the objects are known; `forward` takes the result in the image's place."""
        return self.block1.prepare(image_BCHW)

    def forward(self, image_BCHW: Tensor, objects_BOCHW: Tensor) -> Tensor:
        """Fuse an image's features [B,C,H,W] with its objects' [B,O,C',H,W] to [B,O,channels,H,W]."""
        y = self.block1(image_BCHW, objects_BOCHW)
        y = y + per_object(self.attention, y)
        return per_object(self.block2, y)


class UpsampleBlock(nn.Module):
    """`out_conv(skip_conv(skip) + bilinear x2(x))`; the skip features are the same for all objects."""

    def __init__(self, skip_channels: int, in_channels: int, out_channels: int) -> None:
        """Build the block."""
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, in_channels, 3, padding=1)
        self.out_conv = ResidualBlock(in_channels, out_channels)

    def forward(self, skip_BCHW: Tensor, x_BOCHW: Tensor) -> Tensor:
        """Upsample [B,O,C,H/2,W/2] to [B,O,out,H,W] with the skip features [B,C',H,W]."""
        return self.merge(self.skip_conv(skip_BCHW), x_BOCHW)

    def merge(self, skip_BCHW: Tensor, x_BOCHW: Tensor) -> Tensor:
        """Upsample [B,O,C,H/2,W/2] to [B,O,out,H,W] with the convolved skip features [B,C,H,W]."""
        up = split_objects(self.enlarge(merge_objects(x_BOCHW)), x_BOCHW.shape[0])
        return per_object(self.out_conv, up + skip_BCHW.unsqueeze(1))

    def enlarge(self, x: Tensor) -> Tensor:
        """Double height and width of [N,C,H,W] bilinearly."""
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
