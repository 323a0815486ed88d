"""Networks, losses and checkpoints of CorrVOS."""

from model.build import build_model
from model.network import KeyFeatures, MatchingNetwork, ModelConfig

__all__ = ["KeyFeatures", "MatchingNetwork", "ModelConfig", "build_model"]
