"""STCN (Cheng et al., NeurIPS 2021) and the variant that the correspondence paper's authors released."""

from torch import Tensor, nn

from model.layers.blocks import ImagePart
from model.layers.decoder import FusingDecoder, STCNDecoder
from model.network import ModelConfig
from model.spacetime.network import SIZES, KeyFeatures, SpaceTimeNetwork


class STCN(SpaceTimeNetwork):
    """STCN: keys compared by distance, readout joined with compressed key features in the decoder."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        super().__init__(config, anisotropic=False, conv_bias=True, image_first=False)
        size = SIZES[config.size]
        f4, f8, f16 = size.key_trunk.channels
        self.key_comp = nn.Conv2d(f16, size.wide, 3, padding=1)
        self.decoder = STCNDecoder(config.value_dim + size.wide, (f8, f4), size.wide, size.narrow)

    def decode(
        self, features: KeyFeatures, readout_BOVYX: Tensor, sensory_BOSYX: Tensor | None, update_sensory: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Decode a logit per object at stride 4 [B,O,1,4Y,4X]."""
        image = features.decoder_part or self.decoder_part(features.f16)
        return self.decoder(image, features.f8, features.f4, readout_BOVYX), None

    def decoder_part(self, f16: Tensor) -> ImagePart:
        """Compute what the decoder makes of f16 alone."""
        return self.decoder.image_part(self.key_comp(f16))


class STCNCorr(SpaceTimeNetwork):
    """The released STCN + correspondence network: no `key_comp`, a fusion block in the decoder."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        super().__init__(config, anisotropic=False, conv_bias=True, image_first=False)
        size = SIZES[config.size]
        f4, f8, f16 = size.key_trunk.channels
        self.decoder = FusingDecoder(f16, config.value_dim, 0, (f8, f4), size.wide, size.narrow)

    def decode(
        self, features: KeyFeatures, readout_BOVYX: Tensor, sensory_BOSYX: Tensor | None, update_sensory: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Decode a logit per object at stride 4 [B,O,1,4Y,4X]."""
        image = features.decoder_part or self.decoder_part(features.f16)
        return self.decoder(image, features.f8, features.f4, readout_BOVYX, None, False)

    def decoder_part(self, f16: Tensor) -> ImagePart:
        """Compute what the decoder makes of f16 alone."""
        return self.decoder.image_part(f16)
