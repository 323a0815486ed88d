"""What STCN and XMem share: configuration, the typed interface, and the work that is the same in both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.aggregate import aggregate
from model.layers.decoder import FusingDecoder, STCNDecoder
from model.layers.efficientnet import EFFICIENTNET_LITE0
from model.layers.encoders import KeyEncoder, KeyProjection, Trunk, ValueEncoder
from model.layers.resnet import RESNET18, RESNET50, TINY_TRUNK
from model.network import ModelConfig, VOSNetwork


@dataclass(frozen=True, kw_only=True)
class SizeConfig:
    """Trunks and decoder widths of a size."""

    key_trunk: Trunk
    value_trunk: Trunk
    key_dim: int
    value_dim: int
    hidden_dim: int
    wide: int
    narrow: int


SIZES = {
    "base": SizeConfig(
        key_trunk=RESNET50, value_trunk=RESNET18, key_dim=64, value_dim=512, hidden_dim=64, wide=512, narrow=256
    ),
    "small": SizeConfig(
        key_trunk=EFFICIENTNET_LITE0,
        value_trunk=EFFICIENTNET_LITE0,
        key_dim=64,
        value_dim=96,
        hidden_dim=32,
        wide=96,
        narrow=48,
    ),
    "tiny": SizeConfig(
        key_trunk=TINY_TRUNK, value_trunk=TINY_TRUNK, key_dim=64, value_dim=96, hidden_dim=32, wide=96, narrow=64
    ),
}


class KeyFeatures(NamedTuple):
    """What the key encoder gives for a batch of images.

    Attributes:
        key: matching key [B,K,Y,X].
        shrinkage: XMem's shrinkage [B,1,Y,X] >= 1, or None.
        selection: XMem's selection [B,K,Y,X] in (0, 1), or None.
        f16: features at stride 16.
        f16_thin: what the decoder sees of f16: STCN compresses it, the others take it as it is.
        f8: features at stride 8.
        f4: features at stride 4.
    """

    key: Tensor
    shrinkage: Tensor | None
    selection: Tensor | None
    f16: Tensor
    f16_thin: Tensor
    f8: Tensor
    f4: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> "KeyFeatures":
        """Apply a function to every tensor, to select frames or clips for example."""
        return KeyFeatures(
            change(self.key),
            None if self.shrinkage is None else change(self.shrinkage),
            None if self.selection is None else change(self.selection),
            f16 := change(self.f16),
            f16 if self.f16_thin is self.f16 else change(self.f16_thin),
            change(self.f8),
            change(self.f4),
        )


class SpaceTimeNetwork(VOSNetwork):
    """A network that matches a query's key against a memory of keys and decodes the values read from it.

    Subclasses set `decoder`, and `key_comp` where the decoder sees f16 compressed.
    """

    decoder: STCNDecoder | FusingDecoder

    def __init__(self, config: ModelConfig, *, anisotropic: bool, conv_bias: bool, image_first: bool) -> None:
        """Build the encoders.

        Args:
            config: the architecture.
            anisotropic: whether keys come with shrinkage and selection.
            conv_bias: whether the value trunk's convolutions have a bias.
            image_first: concatenation order of the value encoder's fuser.
        """
        super().__init__(config)
        size = SIZES[config.size]
        f16_channels = size.key_trunk.channels[2]
        self.key_encoder = KeyEncoder(size.key_trunk)
        self.value_encoder = ValueEncoder(
            size.value_trunk,
            f16_channels,
            config.value_dim,
            mask_channels=config.mask_channels,
            conv_bias=conv_bias,
            image_first=image_first,
            sensory_dim=config.hidden_dim,
        )
        self.key_proj = KeyProjection(f16_channels, config.key_dim, anisotropic)
        self.key_comp: nn.Module = nn.Identity()
        self.key_proj2: KeyProjection | None = None

    @staticmethod
    def sizes_of(weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Read the sizes but `key_dim` from a network's weights; raises KeyError for one that is not there."""
        update = weights.get("decoder.hidden_update.transform.weight")
        return {
            "value_dim": weights["value_encoder.fuser.block2.conv2.weight"].shape[0],
            "hidden_dim": 0 if update is None else update.shape[0] // 3,  # three gates
            "mask_channels": weights["value_encoder.conv1.weight"].shape[1] - 3,  # on top of the image's three
        }

    def add_key_head(self) -> None:
        """Add the extra key head of the released correspondence loss, which training alone uses."""
        self.key_proj2 = KeyProjection(self.key_proj.key_proj.in_channels, self.config.key_dim, anisotropic=False)

    def encode_key(self, image_B3HW: Tensor) -> KeyFeatures:
        """Encode ImageNet-normalised images [B,3,H,W]; H and W must be multiples of 16."""
        f16, f8, f4 = self.key_encoder(image_B3HW)
        key, shrinkage, selection = self.key_proj(f16)
        return KeyFeatures(key, shrinkage, selection, f16, self.key_comp(f16), f8, f4)

    def encode_value(
        self,
        image_B3HW: Tensor,
        f16: Tensor,
        mask_BOHW: Tensor,
        sensory_BOSYX: Tensor | None = None,
        deep_update: bool = True,
        object_chunk: int | None = None,
        rows_N: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Encode every object of an image into a value.

        Args:
            image_B3HW: the normalised image.
            f16: its features at stride 16, or what the value encoder's fuser prepared of them.
            mask_BOHW: probability of each object, in [0, 1].
            sensory_BOSYX: sensory memory before, or None for a network without one.
            deep_update: whether to refresh the sensory memory from the value.
            object_chunk: how many objects to encode at a time; None encodes all at once.
            rows_N: which of the flattened [B*O] objects are real, if some only pad the batch; not with chunks.

        Returns:
            The value [B,O,V,Y,X] and the sensory memory (unchanged without a deep update).
        """
        masks = self.value_encoder.stack_masks(mask_BOHW)
        parts = masks.split(object_chunk or masks.shape[1], dim=1)
        value = _join([self.value_encoder(image_B3HW, f16, part, rows_N) for part in parts])
        reinforce = self.value_encoder.hidden_reinforce
        if deep_update and reinforce is not None:
            assert sensory_BOSYX is not None, "this network carries a sensory memory"
            sensory_BOSYX = reinforce(value, sensory_BOSYX)
        return value, sensory_BOSYX

    def segment(
        self,
        features: KeyFeatures,
        readout_BOVYX: Tensor,
        sensory_BOSYX: Tensor | None = None,
        update_sensory: bool = True,
        valid_BO: Tensor | None = None,
        object_chunk: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Decode what was read from memory into label logits.

        Args:
            features: the query's features.
            readout_BOVYX: values read from memory.
            sensory_BOSYX: sensory memory, or None for a network without one.
            update_sensory: whether the decoder updates the sensory memory.
            valid_BO: bool, False for objects that only pad the batch: they get probability 0.
            object_chunk: how many objects to decode at a time; None decodes all at once.

        Returns:
            Logits [B,L,H,W] in fp32, background first, whose softmax over labels is the prediction; and the sensory
            memory.
        """
        step = object_chunk or readout_BOVYX.shape[1]
        logits, states = [], []
        for start in range(0, readout_BOVYX.shape[1], step):
            part = slice(start, start + step)
            sensory = None if sensory_BOSYX is None else sensory_BOSYX[:, part]
            logit, sensory = self.decoder(
                features.f16_thin, features.f8, features.f4, readout_BOVYX[:, part], sensory, update_sensory
            )
            logits.append(logit)
            states.append(sensory)
        logit_BOHW = _join(logits).squeeze(2).float()
        logit_BOHW = F.interpolate(logit_BOHW, scale_factor=4.0, mode="bilinear", align_corners=False)
        prob_BOHW = torch.sigmoid(logit_BOHW)
        if valid_BO is not None:
            prob_BOHW = prob_BOHW * valid_BO[:, :, None, None]
        return aggregate(prob_BOHW), None if sensory_BOSYX is None else _join([s for s in states if s is not None])

    def initial_sensory(self, batch: int, objects: int, height: int, width: int, like: Tensor) -> Tensor | None:
        """Zero sensory memory [B,O,S,Y,X] in fp32 on `like`'s device, or None for a network without one.

        `height` and `width` are those of the stride-16 grid.
        """
        if self.config.hidden_dim == 0:
            return None
        shape = (batch, objects, self.config.hidden_dim, height, width)
        return torch.zeros(shape, dtype=torch.float32, device=like.device)


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
