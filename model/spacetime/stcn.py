"""STCN (Cheng et al., NeurIPS 2021) and the variant that the correspondence paper's authors released."""

from torch import nn

from model.layers.decoder import FusingDecoder, STCNDecoder
from model.network import ModelConfig
from model.spacetime.network import SIZES, SpaceTimeNetwork


class STCN(SpaceTimeNetwork):
    """STCN: keys compared by distance, readout joined with compressed key features in the decoder."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        super().__init__(config, anisotropic=False, conv_bias=True, image_first=False)
        size = SIZES[config.size]
        f4, f8, f16 = size.key_trunk.channels
        self.key_comp = nn.Conv2d(f16, size.wide, 3, padding=1)
        self.decoder = STCNDecoder(size.wide, config.value_dim, (f8, f4), size.wide, size.narrow)


class STCNCorr(SpaceTimeNetwork):
    """The released STCN + correspondence network: no `key_comp`, a fusion block in the decoder."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        super().__init__(config, anisotropic=False, conv_bias=True, image_first=False)
        size = SIZES[config.size]
        f4, f8, f16 = size.key_trunk.channels
        self.decoder = FusingDecoder(f16, config.value_dim, 0, (f8, f4), size.wide, size.narrow)
