"""Key and value encoders."""

from typing import Protocol

import torch
from torch import Tensor, nn

from model.layers.blocks import FusionBlock, merge_objects, split_objects
from model.layers.sensory import SensoryReinforcer


class Trunk(Protocol):
    """The shape of a trunk of convolutions up to stride 16, and how to build it: `resnet`, `efficientnet`."""

    @property
    def channels(self) -> tuple[int, int, int]:
        """Output channels at stride 4, 8 and 16."""
        ...

    def build_stem(self, in_channels: int, bias: bool = False) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
        """Build the first convolution, of stride 2, and its normalisation."""
        ...

    def after_stem(self, x: Tensor) -> Tensor:
        """Map what the stem gives to what the first stage takes."""
        ...

    def build_stages(self, bias: bool = False) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
        """Build what leads to strides 4, 8 and 16."""
        ...


class KeyEncoder(nn.Module):
    """Image features at strides 16, 8 and 4."""

    def __init__(self, trunk: Trunk) -> None:
        """Build the trunk to stride 16 (`layer3` of a ResNet)."""
        super().__init__()
        self.after_stem = trunk.after_stem
        self.conv1, self.bn1 = trunk.build_stem(3)
        self.res2, self.layer2, self.layer3 = trunk.build_stages()

    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ImageNet-normalised [B,3,H,W] to f16, f8, f4."""
        f4 = self.res2(self.after_stem(self.bn1(self.conv1(image_B3HW))))
        f8 = self.layer2(f4)
        return self.layer3(f8), f8, f4


class KeyProjection(nn.Module):
    """Projects f16 to the matching key, and in XMem to shrinkage and selection."""

    def __init__(self, in_channels: int, key_dim: int, anisotropic: bool) -> None:
        """Build the projections; `anisotropic` adds XMem's shrinkage and selection."""
        super().__init__()
        self.key_proj = nn.Conv2d(in_channels, key_dim, 3, padding=1)
        nn.init.orthogonal_(self.key_proj.weight)
        nn.init.zeros_(self.key_proj.bias)  # type: ignore[arg-type]
        self.d_proj = nn.Conv2d(in_channels, 1, 3, padding=1) if anisotropic else None
        self.e_proj = nn.Conv2d(in_channels, key_dim, 3, padding=1) if anisotropic else None

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Map [B,C,Y,X] to key [B,K,Y,X], shrinkage [B,1,Y,X] >= 1 and selection [B,K,Y,X] in (0, 1)."""
        shrinkage = None if self.d_proj is None else self.d_proj(f16).square() + 1
        selection = None if self.e_proj is None else torch.sigmoid(self.e_proj(f16))
        return self.key_proj(f16), shrinkage, selection


class ValueEncoder(nn.Module):
    """Object values from the image, the object's mask, the other objects' masks, and f16."""

    def __init__(
        self,
        trunk: Trunk,
        f16_channels: int,
        value_dim: int,
        *,
        mask_channels: int,
        conv_bias: bool,
        image_first: bool,
        sensory_dim: int,
    ) -> None:
        """Build the encoder.

        Args:
            trunk: its shape.
            f16_channels: channels of the key encoder's f16.
            value_dim: channels of the value.
            mask_channels: 2 (mask, other objects' masks) or 1 (mask alone, as in stage 0).
            conv_bias: whether the trunk's convolutions have a bias (STCN's release has).
            image_first: order in which the fuser's weights expect (f16, object features).
            sensory_dim: channels of the sensory memory, 0 for none.
        """
        super().__init__()
        self.mask_channels = mask_channels
        self.after_stem = trunk.after_stem
        self.conv1, self.bn1 = trunk.build_stem(3 + mask_channels, bias=conv_bias)
        self.layer1, self.layer2, self.layer3 = trunk.build_stages(bias=conv_bias)
        self.fuser = FusionBlock(f16_channels, trunk.channels[2], value_dim, image_first=image_first)
        self.hidden_reinforce = SensoryReinforcer(value_dim, sensory_dim) if sensory_dim else None

    def stack_masks(self, mask_BOHW: Tensor) -> Tensor:
        """Build the mask channels of every object: its mask and, with two channels, the sum of the others' masks.

        Args:
            mask_BOHW: probabilities in [0, 1].

        Returns:
            [B,O,M,H,W].
        """
        masks = mask_BOHW.unsqueeze(2)
        if self.mask_channels == 1:
            return masks
        return torch.cat([masks, masks.sum(dim=1, keepdim=True) - masks], dim=2)

    def forward(self, image_B3HW: Tensor, f16: Tensor, masks_BOMHW: Tensor, rows_N: Tensor | None = None) -> Tensor:
        """Encode the stacked masks of some objects into values [B,O,V,Y,X]; f16 may be what the fuser prepared of it.

        Only the objects at `rows_N` of the flattened [B*O] go through the trunk, all without it: the others, which
        pad a batch, have no part in BatchNorm's statistics, and get features of zero.
        """
        batch, objects = masks_BOMHW.shape[:2]
        image = image_B3HW.unsqueeze(1).expand(-1, objects, -1, -1, -1)
        x = merge_objects(torch.cat([image, masks_BOMHW.to(image.dtype)], dim=2))
        x = self.after_stem(self.bn1(self.conv1(x if rows_N is None else x.index_select(0, rows_N))))
        x = self.layer3(self.layer2(self.layer1(x)))
        if rows_N is not None:
            x = x.new_zeros(batch * objects, *x.shape[1:]).index_copy(0, rows_N, x)
        value: Tensor = self.fuser(f16, split_objects(x, batch))
        return value
