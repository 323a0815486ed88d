"""Boxes in a training crop, by hand."""

import math

import numpy as np
import pytest

from dataset.train.geometry import about, flip, rotation_shear, window
from dataset.train.pairs import MOST_PROPOSALS, annotated_boxes, crop_proposals, warp_boxes

BOX = np.array([[10, 20, 30, 60]], np.float32)


@pytest.mark.parametrize(
    "matrix, size, expected",
    [
        (np.eye(3), 64, (10, 20, 30, 60)),
        (np.eye(3), 40, (10, 20, 30, 40)),
        (flip(64), 64, (34, 20, 54, 60)),
        # A window of 50x50 from (5, 15), twice as large.
        (window(5, 15, 50, 50, 100), 100, (10, 10, 50, 90)),
        # A quarter turn takes (x, y) from the centre (32, 32) to (-y, x).
        (about(rotation_shear(90, 0, 1), 31.5, 31.5), 64, (4, 10, 44, 30)),
        # Shear by 45 degrees: x grows by y - 32.
        (about(rotation_shear(0, 45, 1), 31.5, 31.5), 64, (0, 20, 58, 60)),
        # All of it lies to the left of the crop.
        (window(40, 0, 24, 24, 64), 64, (0, 53.3333, 0, 64)),
    ],
)
def test_boxes_through_a_matrix(matrix: np.ndarray, size: int, expected: tuple[float, ...]) -> None:
    received = warp_boxes(BOX, matrix, size)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, [expected], atol=1e-3)


def test_a_turned_square_is_surrounded() -> None:
    matrix = about(rotation_shear(45, 0, 1), 49.5, 49.5)
    half = 20 * math.sqrt(2)
    received = warp_boxes(np.array([[30, 30, 70, 70]]), matrix, 100)
    np.testing.assert_allclose(received, [[50 - half, 50 - half, 50 + half, 50 + half]], atol=1e-4)


def test_a_box_and_back() -> None:
    matrix = window(5, 15, 50, 50, 100) @ flip(64)
    there = warp_boxes(BOX, matrix, 100)
    np.testing.assert_allclose(warp_boxes(there, np.linalg.inv(matrix), 64), BOX, atol=1e-4)


def test_no_boxes_stay_none() -> None:
    none = np.zeros((0, 4), np.float32)
    assert warp_boxes(none, np.eye(3), 64).shape == (0, 4) and crop_proposals(none, np.eye(3), 64).shape == (0, 4)


def test_proposals_are_filtered_as_they_lie_in_the_crop() -> None:
    good = [(0, 0, 90, 30), (5, 0, 35, 90), (0, 0, 30, 30), (10, 10, 90, 90)]
    # Too long, too small, too large, and one that is small in the crop alone.
    bad = [(0, 0, 91, 30), (0, 0, 29, 30), (10, 10, 91, 90), (80, 80, 160, 160)]
    boxes = np.array([*good, *bad], np.float32)
    np.testing.assert_array_equal(crop_proposals(boxes, np.eye(3), 100), boxes[:4])
    # Up and to the left by 62: what is left of the others is too small, and the last has come in.
    shift = np.array([[1.0, 0, -62], [0, 1, -62], [0, 0, 1]])
    np.testing.assert_array_equal(crop_proposals(boxes, shift, 100), [[18, 18, 98, 98]])


def test_no_more_proposals_than_the_limit() -> None:
    boxes = np.array([[i, 0, i + 40, 40] for i in range(60)] * 3, np.float32)
    np.testing.assert_array_equal(crop_proposals(boxes, np.eye(3), 100), boxes[:MOST_PROPOSALS])


def test_annotated_boxes_surround_what_can_be_seen() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[1:3, 2:7] = 1
    labels[5, 0], labels[7, 3] = 3, 3
    boxes, ids = annotated_boxes(labels, 3)
    assert boxes.tolist() == [[2, 1, 7, 3], [0, 5, 4, 8]] and ids.tolist() == [1, 3]
    assert boxes.dtype == np.float32 and ids.dtype == np.int64
    boxes, ids = annotated_boxes(np.zeros((8, 8), np.uint8), 3)
    assert boxes.shape == (0, 4) and ids.shape == (0,)
