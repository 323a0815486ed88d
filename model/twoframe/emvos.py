"""EMVOS (Cho et al., 2022): surjective and equalized matching with the first and the previous frame."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.network import ModelConfig
from model.twoframe.decoder import NamedConv
from model.twoframe.matching import cosine_scores, equalized, surjective
from model.twoframe.network import TWO_FRAME_SIZES, Reference, TwoFrameFeatures, TwoFrameNetwork, at_grid


class EMVOSMatcher(nn.Module):
    """Projects features at stride 16 to two keys, for surjective and for equalized matching."""

    def __init__(self, in_channels: int, key_dim: int) -> None:
        """Build the two 1x1 convolutions."""
        super().__init__()
        self.conv1 = NamedConv(in_channels, key_dim, 1)
        self.conv2 = NamedConv(in_channels, key_dim, 1)

    def forward(self, s16: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B,C,Y,X] to both keys [B,K,Y,X]."""
        return self.conv1(s16), self.conv2(s16)


class EMVOS(TwoFrameNetwork):
    """Both kinds of matching with both frames; the decoder also sees the previous mask, and has gates."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network."""
        in_channels = TWO_FRAME_SIZES[config.size].trunk.channels[2]
        matcher = EMVOSMatcher(in_channels, config.key_dim)
        super().__init__(config, matcher=matcher, maps=10, mask_embedder=None, gated=True)

    def match(
        self, query: TwoFrameFeatures, first: Sequence[Reference], previous: Reference, bijective_k: int
    ) -> Tensor:
        """Return the maps [B,O,10,Y,X], each background then foreground.

        They are the surjective scores with the first and the previous frame, the equalized ones with both, and the
        previous mask. `bijective_k` has no effect: equalized matching stands in for bijective.
        """
        assert query.equal_key is not None
        key, equal_key = query.key.flatten(2), query.equal_key.flatten(2)
        maps = []
        for frames in (first, [previous]):
            scores = [surjective(cosine_scores(frame.key, key), frame.mask_BO2N) for frame in frames]
            maps.append(torch.cat(scores, dim=1))
        for frames in (first, [previous]):
            scores = []
            for frame in frames:
                assert frame.equal_key is not None
                scores.append(equalized(frame.equal_key, equal_key, frame.mask_BO2N))
            maps.append(torch.cat(scores, dim=1))
        return at_grid(torch.cat([*maps, previous.mask_BO2N], dim=2), query)
