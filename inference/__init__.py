"""Segmenting videos with a trained network, and scoring the result."""

from inference.segmenter import InferenceConfig, Segmenter, build_segmenter

__all__ = ["InferenceConfig", "Segmenter", "build_segmenter"]
