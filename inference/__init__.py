"""Segmenting videos with a trained network, and scoring the result."""

from inference.config import InferenceConfig
from inference.interface import VOSSegmenter
from inference.propagate import segment_video, step_rgb
from inference.segmenter import Segmenter, build_segmenter
from inference.twoframe_segmenter import TwoFrameSegmenter

__all__ = [
    "InferenceConfig",
    "Segmenter",
    "TwoFrameSegmenter",
    "VOSSegmenter",
    "build_segmenter",
    "segment_video",
    "step_rgb",
]
