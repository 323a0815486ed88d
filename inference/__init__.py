"""Segmenting videos with a trained network, and scoring the result."""

from inference.propagate import segment_video
from inference.segmenter import InferenceConfig, Segmenter, build_segmenter

__all__ = ["InferenceConfig", "Segmenter", "build_segmenter", "segment_video"]
