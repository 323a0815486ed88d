"""Matrices by hand, crops against their rules, splines at their control points."""

import cv2
import numpy as np
import pytest

from dataset.train.geometry import about, flip, random_resized_crop, rotation_shear, spline_field, vertical_flip, window


def moved(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    return (matrix @ (x, y, 1))[:2]


def test_matrices_by_hand() -> None:
    np.testing.assert_allclose(moved(flip(10), 0, 3), (9, 3))
    np.testing.assert_allclose(moved(vertical_flip(10), 2, 3), (2, 6))
    # The window's first pixel, two wide, becomes four pixels of half the width: its edges are at -0.5 and 3.5.
    np.testing.assert_allclose(moved(window(1, 2, 2, 4, 4), 0.5, 1.5), (-0.5, -0.5))
    np.testing.assert_allclose(moved(window(1, 2, 2, 4, 4), 2.5, 5.5), (3.5, 3.5))
    np.testing.assert_allclose(moved(rotation_shear(90, 0, 2), 1, 0), (0, 2), atol=1e-12)
    np.testing.assert_allclose(moved(rotation_shear(0, 45, 1), 1, 2), (3, 2))
    np.testing.assert_allclose(moved(about(rotation_shear(30, 10, 1.1), 5, 6), 5, 6), (5, 6))


def test_crops_lie_inside_and_have_the_area() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        inverse = np.linalg.inv(random_resized_crop(rng, 40, 90, (0.1, 0.4), 4 / 3, 32))
        (left, top), (right, bottom) = moved(inverse, -0.5, -0.5), moved(inverse, 31.5, 31.5)
        assert left >= -0.5 - 1e-9 and top >= -0.5 - 1e-9 and right <= 89.5 + 1e-9 and bottom <= 39.5 + 1e-9
        assert 0.1 - 1e-9 <= (right - left) * (bottom - top) / 3600 <= 0.4 + 1e-9
        assert 0.75 - 1e-9 <= (right - left) / (bottom - top) <= 4 / 3 + 1e-9


def test_a_crop_that_never_fits_becomes_the_largest_square() -> None:
    inverse = np.linalg.inv(random_resized_crop(np.random.default_rng(0), 10, 90, (1.0, 1.0), 1.0, 32))
    width, height = moved(inverse, 31.5, 31.5) - moved(inverse, -0.5, -0.5)
    assert width == pytest.approx(10) and height == pytest.approx(10)


def test_spline_takes_control_points_where_they_belong() -> None:
    rng = np.random.default_rng(1)
    points = np.stack(np.meshgrid([-0.8, -0.3, 0.2, 0.7], [-0.7, 0.1, 0.8]), -1).reshape(12, 2)
    target = points + rng.normal(0, 0.03, points.shape)
    field = spline_field(points, target, 256)
    at = ((points + 1) * 128 - 0.5).astype(np.float32)
    received = cv2.remap(field, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
    # The field is interpolated between nodes 8 pixels apart; the displacements are about 4 pixels long.
    np.testing.assert_allclose(received, (target + 1) * 128 - 0.5, atol=0.5)
    still = spline_field(points, points, 64)
    np.testing.assert_allclose(still, np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1), atol=1e-4)
