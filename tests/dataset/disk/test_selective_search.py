"""Selective Search on a picture of two squares."""

import cv2
import numpy as np
import pytest

from dataset.disk.proposals import ProposalSettings, fits_rules
from dataset.disk.selective_search import find_boxes

pytestmark = pytest.mark.skipif(not hasattr(cv2, "ximgproc"), reason="OpenCV without its contributed modules")


def test_boxes_fit_the_objects_and_the_rules() -> None:
    rgb = np.full((64, 96, 3), 30, np.uint8)
    rgb[10:50, 8:48], rgb[20:60, 56:92] = (220, 40, 40), (40, 220, 40)
    boxes = find_boxes(rgb, ProposalSettings(scale=1.0))
    assert boxes.dtype == np.uint16 and len(np.unique(boxes, axis=0)) == len(boxes)
    assert fits_rules(boxes, 64, 96).all()
    distances = np.abs(boxes.astype(int) - (8, 10, 48, 50)).max(axis=1)
    assert distances.min() <= 2
    np.testing.assert_array_equal(boxes, find_boxes(rgb, ProposalSettings(scale=1.0)))
