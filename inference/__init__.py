"""Segmenting videos with a trained network, and scoring the result."""

from inference.config import InferenceConfig
from inference.propagate import segment_video, step_rgb
from inference.segmenter import Segmenter, build_segmenter
from inference.twoframe_segmenter import ReferenceSegmenter

__all__ = ["InferenceConfig", "ReferenceSegmenter", "Segmenter", "build_segmenter", "segment_video", "step_rgb"]
