"""Object proposals of a picture by Selective Search (Uijlings et al., 2013), from OpenCV's contributed modules."""

import cv2
import numpy as np

from dataset.disk.proposals import ProposalSettings, fits_rules

_SMALLEST = 16


def find_boxes(rgb_HW3: np.ndarray, settings: ProposalSettings) -> np.ndarray:
    """Find the proposals of a picture that pass the filters.

    The result depends on the picture and settings alone.

    Args:
        rgb_HW3: uint8.
        settings: mode, and the scale at which to search; no side is searched below 16 pixels.

    Returns:
        [N,4] uint16, none twice: left, top, right, bottom edges in pixels of the picture, in a drawn order.
    """
    height, width = rgb_HW3.shape[:2]
    columns, rows = (max(round(side * settings.scale), _SMALLEST) for side in (width, height))
    bgr = cv2.cvtColor(cv2.resize(rgb_HW3, (columns, rows), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(bgr)
    if settings.mode == "fast":
        search.switchToSelectiveSearchFast()
    else:
        search.switchToSelectiveSearchQuality()
    found = np.asarray(search.process(), np.float64).reshape(-1, 4)
    edges = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1)
    boxes = np.rint(edges * np.tile([width / columns, height / rows], 2))
    # Selective Search ranks with random numbers of its own. In sorted order, the first boxes would all lie on the left.
    boxes = np.unique(boxes[fits_rules(boxes, height, width)], axis=0)
    return np.random.default_rng(0).permutation(boxes).astype(np.uint16)
