"""XMem (Cheng and Schwing, ECCV 2022)."""

from torch import Tensor

from model.layers.blocks import ImagePart
from model.layers.decoder import FusingDecoder
from model.network import ModelConfig
from model.spacetime.network import SIZES, KeyFeatures, SpaceTimeNetwork


class XMem(SpaceTimeNetwork):
    """XMem: anisotropic similarity, and a sensory memory unless `hidden_dim` is 0."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        super().__init__(config, anisotropic=True, conv_bias=False, image_first=True)
        size = SIZES[config.size]
        f4, f8, f16 = size.key_trunk.channels
        self.decoder = FusingDecoder(f16, config.value_dim, config.hidden_dim, (f8, f4), size.wide, size.narrow)

    def decode(
        self, features: KeyFeatures, readout_BOVYX: Tensor, sensory_BOSYX: Tensor | None, update_sensory: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Decode a logit per object at stride 4 [B,O,1,4Y,4X] and update the sensory memory."""
        image = features.decoder_part or self.decoder_part(features.f16)
        return self.decoder(image, features.f8, features.f4, readout_BOVYX, sensory_BOSYX, update_sensory)

    def decoder_part(self, f16: Tensor) -> ImagePart:
        """Compute what the decoder makes of f16 alone."""
        return self.decoder.image_part(f16)
