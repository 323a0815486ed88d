"""What every network is: its resolved architecture, the interface that all share, and what it makes of clips."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor, nn
from typing_extensions import Self

STRIDE = 16  # of the matching grid; image sides must be multiples of it


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The resolved architecture of a network.

    Attributes:
        name: of its row in `model.build.NETWORKS`, such as `xmem`.
        size: of its family's sizes: `base` (the published networks), `small` (the one in the box) or `tiny` (tests).
        key_dim: channels K of the matching key.
        value_dim: channels V of the value; 0 in two-frame networks, as all that follows.
        hidden_dim: channels S of XMem's sensory memory; 0 for none.
        mask_channels: masks that the value encoder sees: 2 (object, others), or 1 as in stage 0.
    """

    name: str
    size: str
    key_dim: int
    value_dim: int = 0
    hidden_dim: int = 0
    mask_channels: int = 0


class ImageFeatures(Protocol):
    """What every network's `encode_key` gives for a batch of images."""

    @property
    def key(self) -> Tensor:
        """Matching key [B,K,Y,X]."""
        ...

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor, to select frames or clips for example."""
        ...


Features = TypeVar("Features", bound=ImageFeatures)


def split_frames(features_BT: Features) -> list[Features]:
    """Split what clips have [B,T,...] into what their frames have [B,...].

    The frames' gradients are stacked once; of x[:, t], each would fill a tensor of zeros for all frames.
    """
    unbound: dict[int, tuple[Tensor, ...]] = {}

    def unbind(x: Tensor) -> Tensor:
        unbound[id(x)] = x.unbind(dim=1)
        return x

    def frame(t: int) -> Features:
        return features_BT.map(lambda x: unbound[id(x)][t])

    features_BT.map(unbind)
    return [frame(t) for t in range(features_BT.key.shape[1])]


class VOSNetwork(nn.Module):
    """A network that segments objects in a video; `model.build` has the table of them.

    How it is unrolled over a training clip, and how a segmenter uses it, is its family's affair. Objects are a
    dimension of every tensor that depends on them.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Keep the architecture; subclasses build the modules."""
        super().__init__()
        self.config = config

    def encode_key(self, image_B3HW: Tensor) -> ImageFeatures:
        """Encode ImageNet-normalised images [B,3,H,W]; H and W must be multiples of `STRIDE`."""
        raise TypeError(f"{type(self).__name__} does not define encode_key(); build a network with model.build_model")


class ClipKeys(NamedTuple):
    """What the correspondence losses see of a batch of clips; None for what the network does not have.

    Attributes:
        key: matching keys [B,T,K,Y,X] of all frames.
        shrinkage: XMem's shrinkage [B,T,1,Y,X].
        selection: XMem's selection [B,T,K,Y,X].
        view_key: keys [B,V,K,Y,X] of the second views, if there were any: matching keys, or `head_key`'s counterpart.
        view_shrinkage: their shrinkage [B,V,1,Y,X].
        head_key: keys [B,T,K,Y,X] of the extra head of the released correspondence loss.
    """

    key: Tensor
    shrinkage: Tensor | None = None
    selection: Tensor | None = None
    view_key: Tensor | None = None
    view_shrinkage: Tensor | None = None
    head_key: Tensor | None = None

    def detach(self) -> "ClipKeys":
        """Return the same without gradients."""
        return ClipKeys(*[None if x is None else x.detach() for x in self])  # type: ignore[arg-type]


class ClipOutput(NamedTuple):
    """What a network gives for a batch of clips.

    Attributes:
        logits: label logits [B,T-1,L,H,W] in fp32 of the frames after the first, background first; minus infinity for
            padded objects.
        keys: of all frames and views.
    """

    logits: Tensor
    keys: ClipKeys

    def detach(self) -> "ClipOutput":
        """Return the same without gradients."""
        return ClipOutput(self.logits.detach(), self.keys.detach())
