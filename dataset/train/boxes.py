"""Boxes of objects in a training crop: left, top, right, bottom edges in pixels, 0 at the left and upper edge."""

import numpy as np

from dataset.disk.proposals import fits_rules

MOST_PROPOSALS = 128


def annotated_boxes(labels_HW: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes [N,4] float32 around the objects 1..`objects` that can be seen, and which they are [N] int64."""
    found = []
    for number in range(1, objects + 1):
        mask = labels_HW == number
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(rows):
            found.append((number, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    table = np.array(found, np.int64).reshape(-1, 5)
    return table[:, 1:].astype(np.float32), table[:, 0]


def warp_boxes(boxes_N4: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Take boxes of the original picture to the crop: around their warped corners, clipped to the crop.

    Args:
        boxes_N4: left, top, right, bottom edges in the original picture.
        matrix: [3,3], takes pixel centres of the original picture to the crop. A spline on top of it does not count:
            it moves corners by a few pixels.
        size: side of the crop.

    Returns:
        [N,4] float32; a box outside the crop has no area.
    """
    corners = boxes_N4[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).astype(np.float64)
    # Matrices count from the centre of the first pixel, boxes from its edge.
    warped = (corners - 0.5) @ matrix[:2, :2].T + matrix[:2, 2] + 0.5
    return np.concatenate([warped.min(axis=1), warped.max(axis=1)], axis=1).clip(0, size).astype(np.float32)


def crop_proposals(boxes_N4: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the proposals [M,4] float32 of a crop, from those of the original picture.

    Those are left out that the paper's rules for shape and area would not keep in the crop. Of more than
    `MOST_PROPOSALS` the first are taken: a file's order has no meaning.
    """
    warped = warp_boxes(boxes_N4, matrix, size)
    return warped[fits_rules(warped, size, size)][:MOST_PROPOSALS]
