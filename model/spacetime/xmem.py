"""XMem (Cheng and Schwing, ECCV 2022)."""

from model.layers.decoder import FusingDecoder
from model.network import ModelConfig
from model.spacetime.network import SIZES, SpaceTimeNetwork


class XMem(SpaceTimeNetwork):
    """XMem: anisotropic similarity, and a sensory memory unless `hidden_dim` is 0."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        super().__init__(config, anisotropic=True, conv_bias=False, image_first=True)
        size = SIZES[config.size]
        f4, f8, f16 = size.key_trunk.channels
        self.decoder = FusingDecoder(f16, config.value_dim, config.hidden_dim, (f8, f4), size.wide, size.narrow)
