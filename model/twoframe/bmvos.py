"""BMVOS (Cho et al., WACV 2022): bijective matching with the previous frame, and an embedding of the last masks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.network import ModelConfig
from model.twoframe.decoder import MaskEmbedder, NamedConv
from model.twoframe.matching import bijective, cosine_scores, surjective
from model.twoframe.network import TWO_FRAME_SIZES, Reference, TwoFrameFeatures, TwoFrameNetwork, at_grid


class BMVOSMatcher(nn.Module):
    """Projects features at stride 16 to the matching key."""

    def __init__(self, in_channels: int, key_dim: int) -> None:
        """Build the 1x1 convolution."""
        super().__init__()
        self.conv = NamedConv(in_channels, key_dim, 1)

    def forward(self, s16: Tensor) -> tuple[Tensor, None]:
        """Map [B,C,Y,X] to the key [B,K,Y,X]; there is no second."""
        return self.conv(s16), None


class BMVOS(TwoFrameNetwork):
    """Surjective matching with the first frame, bijective with the previous one."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        size = TWO_FRAME_SIZES[config.size]
        super().__init__(
            config,
            matcher=BMVOSMatcher(size.trunk.channels[2], config.key_dim),
            maps=4,
            mask_embedder=MaskEmbedder(size.embedding),
            gated=False,
        )

    def match(
        self, query: TwoFrameFeatures, first: Sequence[Reference], previous: Reference, bijective_k: int
    ) -> Tensor:
        """Return the scores with the first and the previous frame [B,O,4,Y,X], each background then foreground."""
        key = query.key.flatten(2)
        far = torch.cat([surjective(cosine_scores(frame.key, key), frame.mask_BO2N) for frame in first], dim=1)
        near = bijective(cosine_scores(previous.key, key), previous.mask_BO2N, bijective_k)
        return at_grid(torch.cat([far, near], dim=2), query)
