"""Segmenting videos with a trained network, and scoring the result."""

from typing import TYPE_CHECKING

from util.lazy import imported_when_asked

if TYPE_CHECKING:
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
_MODULES = {
    "InferenceConfig": "config",
    "Segmenter": "segmenter",
    "TwoFrameSegmenter": "twoframe_segmenter",
    "VOSSegmenter": "interface",
    "build_segmenter": "segmenter",
    "segment_video": "propagate",
    "step_rgb": "propagate",
}
__getattr__ = imported_when_asked(__name__, _MODULES)
