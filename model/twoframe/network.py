"""What BMVOS and EMVOS share: networks that match a frame with the first and the previous one.

They differ in how they match, `match`, and in what else the decoder sees of an object. Objects are a dimension of
every tensor that depends on them; features of pictures are computed once for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.densenet import DENSENET121, TINY_DENSENET, DenseConfig, DenseEncoder
from model.network import STRIDE, ModelConfig, VOSNetwork
from model.twoframe.decoder import HISTORY, MaskEmbedder, TwoFrameDecoder
from util.device import take


@dataclass(frozen=True, kw_only=True)
class TwoFrameSize:
    """Trunk and widths of a size.

    Attributes:
        trunk: of the encoder.
        key_dim: channels K of the matching keys.
        width: channels of the decoder.
        embedding: channels of BMVOS's mask embedding.
    """

    trunk: DenseConfig
    key_dim: int
    width: int
    embedding: tuple[int, int, int, int]


TWO_FRAME_SIZES = {
    "base": TwoFrameSize(trunk=DENSENET121, key_dim=512, width=256, embedding=(32, 64, 128, 256)),
    "tiny": TwoFrameSize(trunk=TINY_DENSENET, key_dim=64, width=64, embedding=(16, 32, 48, 64)),
}


class TwoFrameFeatures(NamedTuple):
    """What the encoder gives for a batch of images.

    Attributes:
        key: matching key [B,K,Y,X] of unit length in fp32: products are cosines, and the nearest is the most similar.
        equal_key: EMVOS's key for equalized matching [B,K,Y,X], of any length, or None.
        s16: features at stride 16.
        s8: features at stride 8.
        s4: features at stride 4.
    """

    key: Tensor
    equal_key: Tensor | None
    s16: Tensor
    s8: Tensor
    s4: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> "TwoFrameFeatures":
        """Apply a function to every tensor, to select frames or clips for example."""
        return TwoFrameFeatures(*(None if x is None else change(x) for x in self))  # type: ignore[arg-type]


class Reference(NamedTuple):
    """A frame that others are matched with, and the objects in it.

    Attributes:
        key: matching key [B,K,N].
        equal_key: key for equalized matching [B,K,N], or None.
        mask_BO2N: soft masks, background then foreground, at stride 16.
    """

    key: Tensor
    equal_key: Tensor | None
    mask_BO2N: Tensor

    def select(self, objects: list[int]) -> "Reference":
        """Keep the objects at these places, in this order."""
        return self._replace(mask_BO2N=take(self.mask_BO2N, 1, objects))


History = tuple[Tensor, ...]
"""An object's last three soft masks [B,O,H,W], the newest first."""


class TwoFrameParts(nn.Module):
    """The modules of a network; the released checkpoints hold them one level down, as `vos`."""

    def __init__(self, matcher: nn.Module, mask_embedder: MaskEmbedder | None, encoder: DenseEncoder) -> None:
        """Collect them; the decoder follows, as it depends on what the others give."""
        super().__init__()
        self.encoder = encoder
        self.matcher = matcher
        self.mask_embedder = mask_embedder
        self.decoder: TwoFrameDecoder


class TwoFrameNetwork(VOSNetwork):
    """A network that matches a frame with the first and the previous one; subclasses define `match`."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        matcher: nn.Module,
        maps: int,
        mask_embedder: MaskEmbedder | None,
        gated: bool,
    ) -> None:
        """Build the network.

        Args:
            config: the architecture.
            matcher: from features at stride 16 to the two keys of `TwoFrameFeatures`.
            maps: channels that `match` gives for each object.
            mask_embedder: of an object's last masks, or None.
            gated: whether the decoder has gates.
        """
        super().__init__(config)
        size = TWO_FRAME_SIZES[config.size]
        s4, s8, s16 = size.trunk.channels
        self.vos = TwoFrameParts(matcher, mask_embedder, DenseEncoder(size.trunk))
        own = maps + (0 if mask_embedder is None else size.embedding[-1])
        self.vos.decoder = TwoFrameDecoder((s16, s8, s4), own, size.width, gated)

    @property
    def encoder(self) -> DenseEncoder:
        """What makes features of an image alone."""
        return self.vos.encoder

    @property
    def decoder(self) -> TwoFrameDecoder:
        """What makes masks of matching scores."""
        return self.vos.decoder

    def encode_key(self, image_B3HW: Tensor) -> TwoFrameFeatures:
        """Encode ImageNet-normalised images [B,3,H,W]; H and W must be multiples of 16."""
        s16, s8, s4 = self.encoder(image_B3HW)
        key, equal_key = self.vos.matcher(s16)
        return TwoFrameFeatures(F.normalize(key.float(), dim=1), equal_key, s16, s8, s4)

    def match(
        self, query: TwoFrameFeatures, first: Sequence[Reference], previous: Reference, bijective_k: int
    ) -> Tensor:
        """Return the score maps [B,O,maps,Y,X] of each object; the network's own part of `segment`."""
        raise TypeError(f"{type(self).__name__} does not define match(); build a network with model.build_model")

    def segment(
        self,
        query: TwoFrameFeatures,
        first: Sequence[Reference],
        previous: Reference,
        history: History,
        *,
        bijective_k: int = 0,
        object_chunk: int | None = None,
    ) -> Tensor:
        """Segment a frame, every object alone.

        Args:
            query: the frame's features.
            first: reference frames in which objects were given, each with its own objects. These follow one another
                in the order of the object dimension of all else.
            previous: the previous frame, with all objects.
            history: the objects' last three soft masks.
            bijective_k: queries that each position of the previous frame chooses in BMVOS; 0 matches surjectively, as
                in training.
            object_chunk: how many objects to decode at a time; None decodes all at once.

        Returns:
            Log-odds [B,O,H,W] of each object in fp32, for `soft_odds`.
        """
        maps = self.match(query, first, previous, bijective_k)
        embed = self.vos.mask_embedder
        parts = []
        for start in range(0, maps.shape[1], object_chunk or maps.shape[1]):
            part = slice(start, start + (object_chunk or maps.shape[1]))
            own = maps[:, part]
            if embed is not None:
                embedding = embed([mask[:, part] for mask in history])
                own = torch.cat([own.to(embedding.dtype), embedding], dim=2)
            logits = self.decoder(query.s16, query.s8, query.s4, own).float()
            parts.append(logits[:, :, 1] - logits[:, :, 0])
        return torch.cat(parts, dim=1)


def refer(features: TwoFrameFeatures, prob_BOHW: Tensor) -> Reference:
    """Make a frame a reference, with the probabilities in [0, 1] of the objects in it."""
    foreground = F.avg_pool2d(prob_BOHW.float(), STRIDE).flatten(2)
    equal_key = None if features.equal_key is None else features.equal_key.flatten(2)
    return Reference(features.key.flatten(2), equal_key, torch.stack([1 - foreground, foreground], dim=2))


def start_history(prob_BOHW: Tensor) -> History:
    """Begin an object's history: a first mask stands for those before it."""
    return (prob_BOHW,) * HISTORY


def extend_history(history: History, prob_BOHW: Tensor) -> History:
    """Add the newest masks, drop the oldest."""
    return (prob_BOHW, *history[:-1])


def at_grid(maps_BOCP: Tensor, like: TwoFrameFeatures) -> Tensor:
    """View maps over positions [B,O,C,P] as [B,O,C,Y,X]."""
    return maps_BOCP.unflatten(-1, like.key.shape[-2:])
