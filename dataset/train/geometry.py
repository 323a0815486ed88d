"""Geometry of augmentation: matrices that take points of one picture to another, and thin-plate splines.

Points are (x, y) with pixel centres at integers; matrices act on (x, y, 1).
"""

import math

import cv2
import numpy as np

_SPLINE_GRID = 8  # pixels between the nodes at which a spline is evaluated; it is smooth, the rest is interpolated


def window(left: float, top: float, width: float, height: float, size: int) -> np.ndarray:
    """Take a window to a square of `size` pixels; edges count, so 0 is the left edge of the first pixel."""
    x, y = size / width, size / height
    return np.array([[x, 0, (0.5 - left) * x - 0.5], [0, y, (0.5 - top) * y - 0.5], [0, 0, 1]])


def random_resized_crop(
    rng: np.random.Generator, height: int, width: int, area: tuple[float, float], ratio: float, size: int
) -> np.ndarray:
    """Draw a window and take it to a square of `size` pixels.

    Args:
        rng: source of randomness.
        height: of the picture.
        width: of the picture.
        area: smallest and largest share of the picture's area, drawn uniformly.
        ratio: the window's width / height is drawn log-uniformly from `1 / ratio` to `ratio`; with the area redrawn up
            to ten times until the window fits, else the largest square is taken.
        size: side of the crop.
    """
    for _ in range(10):
        pixels = height * width * rng.uniform(*area)
        aspect = math.exp(rng.uniform(-1, 1) * math.log(ratio))
        w, h = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
        if w <= width and h <= height:
            break
    else:
        w = h = min(height, width)
    return window(rng.uniform(0, width - w), rng.uniform(0, height - h), w, h, size)


def flip(width: int) -> np.ndarray:
    """Mirror a picture of `width` pixels left to right."""
    return np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])


def vertical_flip(height: int) -> np.ndarray:
    """Mirror a picture of `height` pixels top to bottom."""
    return np.array([[1.0, 0, 0], [0, -1, height - 1], [0, 0, 1]])


def scaling(scale: float) -> np.ndarray:
    """Scale about the origin."""
    return np.diag([scale, scale, 1.0])


def rotation_shear(degrees: float, shear: float, scale: float) -> np.ndarray:
    """Scale, shear along x, then turn, about the origin; angles in degrees."""
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    return rotation @ np.array([[1, math.tan(math.radians(shear)), 0], [0, 1, 0], [0, 0, 1]]) @ scaling(scale)


def about(linear: np.ndarray, x: float, y: float) -> np.ndarray:
    """Apply a map that keeps the origin so that it keeps the point (x, y) instead."""
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = (-x, -y), (x, y)
    return back @ linear @ to


def spline_field(points: np.ndarray, moved: np.ndarray, size: int) -> np.ndarray:
    """Fit the thin-plate spline that takes `points` to `moved` and evaluate it at every pixel of a crop.

    Args:
        points: [n,2] control points, (x, y) in [-1, 1] from edge to edge of the crop.
        moved: [n,2], where they go.
        size: side of the crop in pixels, a multiple of 8.

    Returns:
        [size,size,2] float32 pixel coordinates.
    """
    weights = _fit_spline(points, moved - points)
    # Nodes in the centres of cells, so that cv2.resize interpolates between them as it does between pixels; a margin
    # of one cell on each side, because it does not extrapolate.
    cells = size // _SPLINE_GRID + 2
    nodes = ((np.arange(cells) - 1) * _SPLINE_GRID + (_SPLINE_GRID - 1) / 2 + 0.5) / size * 2 - 1
    at = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    shift = (_spline_basis(at, points) @ weights).reshape(cells, cells, 2).astype(np.float32)
    dense = cv2.resize(shift, (cells * _SPLINE_GRID,) * 2, interpolation=cv2.INTER_LINEAR)
    dense = dense[_SPLINE_GRID:-_SPLINE_GRID, _SPLINE_GRID:-_SPLINE_GRID] * (size / 2)
    pixels = np.arange(size, dtype=np.float32)
    return dense + np.stack(np.meshgrid(pixels, pixels), axis=-1)


def _fit_spline(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    count = len(points)
    system = np.zeros((count + 3, count + 3))
    system[:count] = _spline_basis(points, points)
    system[count:, :count] = system[:count, count:].T
    return np.linalg.lstsq(system, np.vstack([values, np.zeros((3, 2))]), rcond=None)[0]


def _spline_basis(at: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return r^2 log r to every control point, then 1, x, y: [m,n+3]."""
    squared = ((at[:, None] - points[None]) ** 2).sum(-1)
    radial = 0.5 * squared * np.log(np.maximum(squared, 1e-12))
    return np.column_stack([radial, np.ones(len(at)), at])
