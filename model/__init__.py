"""Networks, losses and checkpoints of CorrVOS."""

from typing import TYPE_CHECKING

from util.lazy import imported_when_asked

if TYPE_CHECKING:
    from model.build import build_model
    from model.network import ModelConfig, VOSNetwork
    from model.spacetime.network import KeyFeatures, SpaceTimeNetwork
    from model.twoframe.network import TwoFrameFeatures, TwoFrameNetwork
    from model.weights import load_checkpoint

__all__ = [
    "KeyFeatures",
    "ModelConfig",
    "SpaceTimeNetwork",
    "TwoFrameFeatures",
    "TwoFrameNetwork",
    "VOSNetwork",
    "build_model",
    "load_checkpoint",
]
_MODULES = {
    "KeyFeatures": "spacetime.network",
    "ModelConfig": "network",
    "SpaceTimeNetwork": "spacetime.network",
    "TwoFrameFeatures": "twoframe.network",
    "TwoFrameNetwork": "twoframe.network",
    "VOSNetwork": "network",
    "build_model": "build",
    "load_checkpoint": "weights",
}
__getattr__ = imported_when_asked(__name__, _MODULES)
