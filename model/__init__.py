"""Networks, losses and checkpoints of CorrVOS."""

from model.build import build_model
from model.spacetime.network import KeyFeatures, MatchingNetwork, ModelConfig
from model.twoframe.network import ReferenceFeatures, ReferenceNetwork
from model.weights import load_checkpoint

__all__ = [
    "KeyFeatures",
    "MatchingNetwork",
    "ModelConfig",
    "ReferenceFeatures",
    "ReferenceNetwork",
    "build_model",
    "load_checkpoint",
]
