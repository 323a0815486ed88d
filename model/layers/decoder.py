"""Mask decoder: fuse at stride 16, upsample twice with skip connections, one logit per object at stride 4."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.blocks import FusionBlock, JointResidualBlock, UpsampleBlock, concatenate, per_object
from model.layers.sensory import SensoryUpdater


class UpsamplingDecoder(nn.Module):
    """The part that all decoders share: from fused features at stride 16 to a logit at stride 4.

    Subclasses own the fusion at stride 16, whose weights the released checkpoints name differently.
    """

    def __init__(self, skips: tuple[int, int], wide: int, narrow: int) -> None:
        """Build it for skip channels at strides 8 and 4; `wide` channels at stride 16, `narrow` below."""
        super().__init__()
        self.up_16_8 = UpsampleBlock(skips[0], wide, narrow)
        self.up_8_4 = UpsampleBlock(skips[1], narrow, narrow)
        self.pred = nn.Conv2d(narrow, 1, 3, padding=1)

    def upsample(self, g16: Tensor, f8: Tensor, f4: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map g16 [B,O,C,Y,X] to g8, g4 and the logit [B,O,1,4Y,4X]."""
        g8 = self.up_16_8(f8, g16)
        g4 = self.up_8_4(f4, g8)
        return g8, g4, per_object(self.pred, F.relu(g4))


class STCNDecoder(UpsamplingDecoder):
    """STCN's decoder: the readout and the compressed f16 through one residual block."""

    def __init__(self, image_channels: int, value_dim: int, skips: tuple[int, int], wide: int, narrow: int) -> None:
        """Build it for `image_channels` of compressed key features."""
        super().__init__(skips, wide, narrow)
        self.compress = JointResidualBlock(image_channels, value_dim, wide, image_first=False)

    def prepare(self, f16: Tensor) -> Tensor:
        """Do what can be done before the objects are known; `forward` takes the result in the place of f16."""
        return self.compress.prepare(f16)

    def forward(
        self, f16: Tensor, f8: Tensor, f4: Tensor, readout_BOVYX: Tensor, sensory: None = None, update: bool = False
    ) -> tuple[Tensor, None]:
        """Decode every object's logit [B,O,1,4Y,4X]; there is no sensory memory."""
        return self.upsample(self.compress(f16, readout_BOVYX), f8, f4)[2], None


class FusingDecoder(UpsamplingDecoder):
    """XMem's decoder, and with `sensory_dim=0` that of the correspondence paper's STCN."""

    def __init__(
        self, f16_channels: int, value_dim: int, sensory_dim: int, skips: tuple[int, int], wide: int, narrow: int
    ) -> None:
        """Build it; without sensory channels there is no state and no update of it."""
        super().__init__(skips, wide, narrow)
        self.fuser = FusionBlock(f16_channels, value_dim + sensory_dim, wide, image_first=True)
        self.hidden_update = SensoryUpdater((wide, narrow, narrow), narrow, sensory_dim) if sensory_dim else None

    def prepare(self, f16: Tensor) -> Tensor:
        """Do what can be done before the objects are known; `forward` takes the result in the place of f16."""
        return self.fuser.prepare(f16)

    def forward(
        self,
        f16: Tensor,
        f8: Tensor,
        f4: Tensor,
        readout_BOVYX: Tensor,
        sensory_BOSYX: Tensor | None,
        update: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Decode every object's logit [B,O,1,4Y,4X] and, if asked, the updated sensory memory."""
        features = readout_BOVYX
        if self.hidden_update is not None:
            assert sensory_BOSYX is not None, "this network carries a sensory memory"
            features = concatenate([features, sensory_BOSYX.to(features.dtype)])
        g16 = self.fuser(f16, features)
        g8, g4, logit = self.upsample(g16, f8, f4)
        if update and self.hidden_update is not None:
            sensory_BOSYX = self.hidden_update(g16, g8, g4, logit, sensory_BOSYX)
        return logit, sensory_BOSYX
