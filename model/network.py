"""What every network is: its resolved architecture and the interface that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

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
