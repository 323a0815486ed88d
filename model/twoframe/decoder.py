"""Modules that BMVOS and EMVOS make of matching scores and masks: mask embedding, gates, decoder.

The released checkpoints hold every convolution one level down, as `conv` or `deconv`.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.blocks import JointConv, per_object

HISTORY = 3  # masks that the mask embedding sees


class NamedConv(nn.Sequential):
    """A convolution called `conv`; it pads so that only the stride shrinks the picture."""

    conv: nn.Conv2d

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        """Build the convolution."""
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)
        super().__init__(OrderedDict(conv=conv))


class NamedJoint(nn.Module):
    """A joint convolution called `conv`."""

    def __init__(self, conv: JointConv) -> None:
        """Give it the name."""
        super().__init__()
        self.conv = conv

    def forward(self, image_BCHW: Tensor, own_BOCHW: Tensor) -> Tensor:
        """Convolve the image's features with every object's own: [B,O,C',H',W']."""
        out: Tensor = self.conv(image_BCHW, own_BOCHW)
        return out


class NamedDeconv(nn.Sequential):
    """A transposed convolution called `deconv` to background and foreground, `stride` times as large."""

    def __init__(self, in_channels: int, kernel: int, stride: int) -> None:
        """Build the transposed convolution."""
        super().__init__(OrderedDict(deconv=nn.ConvTranspose2d(in_channels, 2, kernel, stride, 1)))


class MaskEmbedder(nn.Module):
    """BMVOS's mask embedding: an object's last masks and their places, at stride 16."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        """Build it with the output channels of its four convolutions."""
        super().__init__()
        self.conv1 = NamedJoint(JointConv(3, 2 * HISTORY, widths[0], 7, image_first=False, stride=2))
        self.conv2 = NamedConv(widths[0], widths[1], 7, stride=2)
        self.conv3 = NamedConv(widths[1], widths[2], 7, stride=2)
        self.conv4 = NamedConv(widths[2], widths[3], 7, stride=2)

    def forward(self, history: Sequence[Tensor]) -> Tensor:
        """Map three soft masks [B,O,H,W], the newest first, to features [B,O,C,Y,X]."""
        masks = torch.stack([plane for mask in history for plane in (1 - mask, mask)], dim=2)
        place_13HW = coordinates(masks.shape[-2], masks.shape[-1], masks)
        # Where a pixel lies is the same for all objects and clips.
        x = F.relu(self.conv1(place_13HW, masks), inplace=True)
        for layer in (self.conv2, self.conv3):
            x = F.relu(per_object(layer, x), inplace=True)
        return per_object(self.conv4, x)


def coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """Return each pixel's y, x, both from -1 to 1 from edge to edge, and distance from the centre: [1,3,H,W]."""
    y = torch.linspace(-1, 1, height, device=like.device).unsqueeze(1).expand(height, width)
    x = torch.linspace(-1, 1, width, device=like.device).expand(height, width)
    return torch.stack([y, x, torch.hypot(y, x)]).unsqueeze(0)


class GateBlock(nn.Module):
    """EMVOS's CBAM: a 3x3 convolution, a gate per channel, then a gate per position from [mean, max]."""

    def __init__(self, channels: int) -> None:
        """Build the block."""
        super().__init__()
        self.conv1 = NamedConv(channels, channels, 3)
        self.conv2 = nn.Sequential(NamedConv(channels, channels, 1), NamedConv(channels, channels, 1))
        self.conv3 = nn.Sequential(NamedConv(2, 16, 3), NamedConv(16, 1, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to the same shape."""
        x = self.conv1(x)
        average, largest = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        x = x * torch.sigmoid(_two_layers(self.conv2, average) + _two_layers(self.conv2, largest))
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(_two_layers(self.conv3, pooled))


def _two_layers(layers: nn.Sequential, x: Tensor) -> Tensor:
    out: Tensor = layers[1](F.relu(layers[0](x), inplace=True))
    return out


class TwoFrameDecoder(nn.Module):
    """From image features and each object's maps at stride 16 to two logits at full size, in three steps."""

    def __init__(self, channels: tuple[int, int, int], map_channels: int, width: int, gated: bool) -> None:
        """Build it.

        Args:
            channels: of the image at strides 16, 8 and 4.
            map_channels: of each object at stride 16.
            width: channels in between.
            gated: whether a gate block follows each blend (EMVOS).
        """
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (NamedConv(skip, width, 1) for skip in channels)
        self.blend1, self.blend2, self.blend3 = (
            NamedJoint(JointConv(width, own, width, image_first=True)) for own in (map_channels, 2, 2)
        )
        self.cbam1, self.cbam2, self.cbam3 = (GateBlock(width) if gated else nn.Identity() for _ in channels)
        self.deconv1, self.deconv2 = NamedDeconv(width, 4, 2), NamedDeconv(width, 4, 2)
        self.deconv3 = NamedDeconv(width, 6, 4)

    def forward(self, s16: Tensor, s8: Tensor, s4: Tensor, maps_BOCYX: Tensor) -> Tensor:
        """Decode every object's logits [B,O,2,16Y,16X], background first."""
        x = maps_BOCYX
        steps = (
            (s16, self.conv1, self.blend1, self.cbam1, self.deconv1),
            (s8, self.conv2, self.blend2, self.cbam2, self.deconv2),
            (s4, self.conv3, self.blend3, self.cbam3, self.deconv3),
        )
        for skip, conv, blend, gate, deconv in steps:
            x = F.relu(blend(F.relu(conv(skip), inplace=True), x), inplace=True)
            x = per_object(deconv, per_object(gate, x))
        return x
