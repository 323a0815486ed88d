import math

import cv2
import numpy as np
import pytest

from inference.metrics import (
    STATISTICS,
    boundary_measure,
    boundary_within,
    mask_scores,
    region_similarity,
    statistics,
    summary,
)
from tests.support.paths import DATA

GOLDEN = DATA / "metrics_pairs.npz"


def square(top: int, left: int, side: int = 4, height: int = 20, width: int = 30) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def boundary_by_definition(mask: np.ndarray) -> list[tuple[int, int]]:
    height, width = mask.shape
    steps = [(0, 1), (1, 0), (1, 1)]
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(mask[y, x] != mask[min(y + dy, height - 1), min(x + dx, width - 1)] for dy, dx in steps)
    ]


def boundary_measure_by_definition(gt: np.ndarray, pred: np.ndarray, radius: float) -> float:
    a, b = boundary_by_definition(gt), boundary_by_definition(pred)
    if not a or not b:
        return float(len(a) == len(b))
    recall = np.mean([min(math.dist(p, q) for q in b) <= radius for p in a])
    precision = np.mean([min(math.dist(p, q) for q in a) <= radius for p in b])
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def test_j_of_shifted_squares() -> None:
    # Two 4x4 squares that share 4x2 pixels: 8 / (16 + 16 - 8).
    assert region_similarity(square(5, 5), square(5, 7)) == 8 / 24
    assert region_similarity(square(5, 5), square(5, 9)) == 0
    assert region_similarity(square(5, 5), square(5, 5)) == 1


def test_f_of_shifted_squares() -> None:
    # A boundary pixel differs from its right, lower or lower right neighbour: the boundary of a 4x4 square is the 5x5
    # ring that starts one pixel above and left, 16 pixels. Shifted right by one, the rings share four pixels of their
    # upper and four of their lower row; and every pixel has one of the other ring at distance 1.
    gt, pred = square(5, 5), square(5, 6)
    assert boundary_measure(gt, pred, bound_th=1) == 1
    common = set(boundary_by_definition(gt)) & set(boundary_by_definition(pred))
    assert len(boundary_by_definition(gt)) == 16 and len(common) == 8
    assert boundary_measure(gt, pred, bound_th=0) == 8 / 16


def test_f_radius_grows_with_the_frame() -> None:
    # 300x400 has a diagonal of 500 pixels: a radius of exactly 4; a shift by 4 is matched, one by 5 is not everywhere.
    gt = square(100, 100, 50, 300, 400)
    assert boundary_measure(gt, square(100, 104, 50, 300, 400)) == 1
    assert 0.5 < boundary_measure(gt, square(100, 105, 50, 300, 400)) < 1
    # One pixel more of frame and the radius is 5.
    gt, pred = square(100, 100, 50, 301, 400), square(100, 105, 50, 301, 400)
    assert boundary_measure(gt, pred) == 1


def test_f_disk_is_round() -> None:
    def dot(y: int, x: int) -> np.ndarray:
        mask = np.zeros((64, 64), dtype=bool)
        mask[y, x] = True
        return mask

    # A pixel's boundary is itself and its left, upper and upper left neighbour: 2x2 pixels. Shifted by (4, 5), whose
    # length is above 6, the nearest corners are (3, 4) apart: distance 5, just inside a radius of 5, not of 4.
    assert boundary_measure(dot(20, 20), dot(24, 25), bound_th=5) == 1 / 4
    assert boundary_measure(dot(20, 20), dot(24, 25), bound_th=4) == 0
    # (4, 4) apart is 5.66: inside the square of half-width 5, outside the disk.
    assert boundary_measure(dot(20, 20), dot(25, 25), bound_th=5) == 0
    assert boundary_measure(dot(20, 20), dot(25, 25), bound_th=6) > 0


def test_empty_and_full_masks() -> None:
    empty, full, some = np.zeros((9, 11), bool), np.ones((9, 11), bool), square(2, 2, 4, 9, 11)
    assert mask_scores(empty, empty) == (1, 1)
    assert mask_scores(full, full) == (1, 1)
    assert mask_scores(some, empty) == (0, 0)
    assert mask_scores(empty, some) == (0, 0)
    # A mask that fills the frame has no boundary, as an empty one: the official toolkit's F is 1 there.
    assert mask_scores(empty, full) == (0, 1)
    assert mask_scores(some, full) == (16 / 99, 0)


def test_one_pixel_frames() -> None:
    on, off = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    assert mask_scores(on, on) == (1, 1)
    assert mask_scores(on, off) == (0, 1)
    row = np.array([[1, 0, 0, 1, 1]], bool)
    assert boundary_measure(row, row) == 1


def test_equals_the_official_toolkit() -> None:
    golden = np.load(GOLDEN)
    assert len(golden["J"]) == 30
    for i, (j, f) in enumerate(zip(golden["J"], golden["F"], strict=True)):
        gt, pred = golden[f"gt_{i:02d}"], golden[f"pred_{i:02d}"]
        assert region_similarity(gt, pred) == pytest.approx(j, abs=1e-9), i
        assert boundary_measure(gt, pred) == pytest.approx(f, abs=1e-9), i
        assert mask_scores(gt, pred) == pytest.approx((j, f), abs=1e-9), i


@pytest.mark.parametrize("seed", range(8))
def test_f_equals_the_definition_on_random_masks(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for density in (0.02, 0.5, 0.95):
        height, width = (int(n) for n in generator.integers(1, 24, 2))
        gt, pred = generator.random((2, height, width)) < density
        # Objects against every side of the frame, and far from all.
        gt[:: max(height // 2, 1), : width // 2] = True
        for radius in (0, 1, 2, 3, 7, 40):
            expected = boundary_measure_by_definition(gt, pred, radius)
            threshold = radius if radius else 0.0
            assert boundary_measure(gt, pred, bound_th=threshold) == pytest.approx(expected, abs=1e-12)


def test_default_radius_equals_the_definition() -> None:
    generator = np.random.default_rng(0)
    gt, pred = generator.random((2, 40, 130)) < 0.01  # diagonal 136.01..., times 0.008: above 1, so radius 2
    assert boundary_measure(gt, pred) == pytest.approx(boundary_measure_by_definition(gt, pred, 2), abs=1e-12)


@pytest.mark.parametrize("radius", [0.32, 0.55, 0.6, 1.0, 1.6, 1.7531, 2.0, 2.5, 3.92, 8.0078])
def test_a_fractional_radius_is_opencvs_dilation_by_scikit_images_disk(radius: float) -> None:
    generator = np.random.default_rng(2)
    along = np.arange(-radius, radius + 1)
    x, y = np.meshgrid(along, along)
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    gt, pred = np.zeros((2, 40, 50), bool)
    for mask in (gt, pred):
        for _ in range(3):
            top, left, height, width = generator.integers(1, 30, 4)
            mask[top : top + height, left : left + width] ^= True
    edges = []
    for mask in (gt, pred):
        edge = np.zeros(mask.shape, np.uint8)
        for point in boundary_by_definition(mask):
            edge[point] = 1
        edges.append(edge)
    matched = [
        np.count_nonzero(a * cv2.dilate(b, disk)) / np.count_nonzero(a)
        for a, b in ((edges[0], edges[1]), (edges[1], edges[0]))
    ]
    [value] = boundary_within(gt, pred, [radius])
    assert 0 < value < 1 and value == pytest.approx(2 * matched[0] * matched[1] / sum(matched), abs=1e-12)


def test_several_radii_at_once() -> None:
    gt, pred = square(5, 5, 8), square(6, 8, 7)
    assert boundary_within(gt, pred, [0, 1, 2.5]) == [boundary_within(gt, pred, [radius])[0] for radius in (0, 1, 2.5)]
    assert boundary_within(gt, pred, [1])[0] == boundary_measure(gt, pred, bound_th=1)


def test_stacks_score_each_frame() -> None:
    generator = np.random.default_rng(1)
    gt, pred = generator.random((2, 5, 12, 17)) < 0.3
    j, f = region_similarity(gt, pred), boundary_measure(gt, pred)
    assert isinstance(j, np.ndarray) and j.shape == (5,) and j.dtype == np.float64
    assert isinstance(f, np.ndarray) and f.shape == (5,) and f.dtype == np.float64
    assert [mask_scores(g, p) for g, p in zip(gt, pred, strict=True)] == list(zip(j, f, strict=True))


def test_any_number_type_and_layout() -> None:
    gt, pred = square(3, 3), square(4, 5)
    expected = mask_scores(gt, pred)
    assert isinstance(region_similarity(gt, pred), float) and isinstance(boundary_measure(gt, pred), float)
    assert mask_scores(gt.astype(np.uint8) * 255, pred.astype(np.float32)) == expected
    assert mask_scores(np.asfortranarray(gt), pred[::-1][::-1]) == expected
    assert mask_scores(gt.tolist(), pred.tolist()) == expected


def test_inputs_stay_as_they_were() -> None:
    gt, pred = square(3, 3), square(4, 5)
    before = gt.copy(), pred.copy()
    mask_scores(gt, pred)
    assert (gt == before[0]).all() and (pred == before[1]).all()


def test_statistics_by_hand() -> None:
    # Eight frames: the bin edges are frames 1, 3, 5 (4.5 rounded up), 6, 8; first bin 1..3, last bin 6..8.
    mean, recall, decay = statistics([1.0, 0.9, 0.8, 0.5, 0.5, 0.4, 0.3, 0.2])
    assert mean == pytest.approx(4.6 / 8)
    assert recall == 3 / 8  # 0.5 is not above 0.5
    assert decay == pytest.approx(0.9 - 0.3)


def test_decay_rounds_as_the_official_toolkit() -> None:
    # Seven frames: edges at 1, 2.5, 4, 5.5, 7. Halves round to even after the official shift by 1e-10, that is up:
    # 1, 3, 4, 6, 7; the bins are frames 1..3 and 6..7.
    assert statistics([1, 1, 0, 0, 0, 0, 1])[2] == pytest.approx(2 / 3 - 1 / 2)


@pytest.mark.parametrize("length", [255, 256, 257, 400, 1000])
def test_decay_of_long_videos(length: int) -> None:
    # A straight line from 1 to 0: the first and the last quarter lie three quarters apart.
    assert statistics(np.linspace(1, 0, length))[2] == pytest.approx(0.75, abs=2 / length)


def test_a_single_frame_has_no_decay() -> None:
    assert statistics([0.7]) == (0.7, 1, 0)


def test_summary_names() -> None:
    figures = summary([1.0, 0.0], [0.5, 0.5])
    assert tuple(figures) == STATISTICS
    assert figures["J-Mean"] == 0.5 and figures["F-Recall"] == 0 and figures["J&F"] == 0.5


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"one shape.*ground truth \(20, 30\) and prediction \(20, 31\)"):
        region_similarity(square(1, 1), square(1, 1, width=31))
    with pytest.raises(ValueError, match=r"\[H,W\] or \[T,H,W\]; received ground truth \(3,\)"):
        boundary_measure(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"one frame at a time"):
        mask_scores(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"bound_th must not be negative, received -1"):
        boundary_measure(square(1, 1), square(1, 1), bound_th=-1)
    with pytest.raises(ValueError, match=r"one value for each frame"):
        statistics([])
