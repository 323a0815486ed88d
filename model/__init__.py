"""Networks, losses and checkpoints of CorrVOS."""

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
