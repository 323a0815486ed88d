"""How well masks agree: region similarity J, boundary measure F, and their statistics over a video.

All of it equals the official DAVIS toolkit (Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv:1704.00675).
"""

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

STATISTICS = ("J&F", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
_DECAY_BINS = 4


def region_similarity(gt: npt.ArrayLike, pred: npt.ArrayLike) -> float | np.ndarray:
    """Return J, intersection over union in 0..1, of masks [H,W] (a float) or of each pair of [T,H,W] (float64 [T]).

    Every non-zero pixel belongs to the object. Two empty masks score 1.

    Raises:
        ValueError: when the masks differ in shape or have neither two nor three dimensions.
    """
    gt, pred = _as_masks(gt, pred)
    if gt.ndim == 2:
        return _jaccard(gt, pred)
    return np.array([_jaccard(g, p) for g, p in zip(gt, pred, strict=True)], dtype=np.float64)


def boundary_measure(gt: npt.ArrayLike, pred: npt.ArrayLike, bound_th: float = 0.008) -> float | np.ndarray:
    """Return F, the F-measure of the boundaries in 0..1, of masks [H,W] (a float) or of each pair of [T,H,W] ([T]).

    A boundary pixel is matched when the other boundary has a pixel within a disk around it. The disk's radius is
    `bound_th` times the diagonal of the frame, rounded up to whole pixels; from 1 on, `bound_th` is the radius itself.
    As in the official toolkit the frame's edge is no boundary; two masks without boundary score 1, one without scores
    0.

    Raises:
        ValueError: when the masks differ in shape or have neither two nor three dimensions, or bound_th is negative.
    """
    gt, pred = _as_masks(gt, pred)
    radius = _match_radius(gt.shape[-2:], bound_th)
    if gt.ndim == 2:
        return _boundary_f(*_crop(gt, pred), [radius])[0]
    return np.array([_boundary_f(*_crop(g, p), [radius])[0] for g, p in zip(gt, pred, strict=True)], dtype=np.float64)


def mask_scores(gt: npt.ArrayLike, pred: npt.ArrayLike, bound_th: float = 0.008) -> tuple[float, float]:
    """Return J and F of one pair of masks [H,W]: the two functions above in one pass.

    Raises:
        ValueError: when the masks differ in shape or have not two dimensions, or bound_th is negative.
    """
    gt, pred = _as_masks(gt, pred)
    if gt.ndim != 2:
        raise ValueError(f"mask_scores takes masks [H,W], received shape {gt.shape}; pass one frame at a time.")
    radius = _match_radius(gt.shape, bound_th)
    gt, pred = _crop(gt, pred)
    return _jaccard(gt, pred), _boundary_f(gt, pred, [radius])[0]


def boundary_within(gt: np.ndarray, pred: np.ndarray, radii: Sequence[float]) -> list[float]:
    """Return F of one pair of masks [H,W] bool for each radius in pixels, which need not be whole (see `_disk`)."""
    return _boundary_f(*_crop(gt, pred), radii)


def statistics(values: npt.ArrayLike) -> tuple[float, float, float]:
    """Return mean, recall (share of frames above 0.5) and decay of the per-frame values [T] of one object.

    Decay is the mean of the first quarter of the frames less that of the last. The quarters are the official ones,
    which share their end frames; the official toolkit's indices overflow beyond 256 frames, these do not.

    Raises:
        ValueError: when there is no value.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"statistics need one value for each frame, [T] with T > 0; received shape {values.shape}.")
    # The small shift rounds halves up, as Matlab does, in which the measures were first written.
    edges = np.round(np.linspace(1, len(values), _DECAY_BINS + 1) + 1e-10).astype(np.int64) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[-2] : edges[-1] + 1]
    return float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean())


def summary(j_values: npt.ArrayLike, f_values: npt.ArrayLike) -> dict[str, float]:
    """Return the seven figures of STATISTICS for one object's per-frame J and F, each [T].

    Raises:
        ValueError: when there is no value.
    """
    j, f = statistics(j_values), statistics(f_values)
    return dict(zip(STATISTICS, ((j[0] + f[0]) / 2, *j, *f), strict=True))


def _as_masks(gt: npt.ArrayLike, pred: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    gt, pred = np.asarray(gt), np.asarray(pred)
    if gt.shape != pred.shape or gt.ndim not in (2, 3):
        raise ValueError(
            f"expected two masks of one shape, [H,W] or [T,H,W]; received ground truth {gt.shape} and prediction "
            f"{pred.shape}. Resize predictions to the frame's size before scoring."
        )
    return gt.astype(bool, copy=False), pred.astype(bool, copy=False)


def _jaccard(gt_HW: np.ndarray, pred_HW: np.ndarray) -> float:
    union = np.count_nonzero(gt_HW | pred_HW)
    return float(np.count_nonzero(gt_HW & pred_HW) / union) if union else 1.0


def _match_radius(size: tuple[int, ...], bound_th: float) -> int:
    if not bound_th >= 0:
        raise ValueError(f"bound_th must not be negative, received {bound_th}; the benchmarks use 0.008.")
    return math.ceil(bound_th if bound_th >= 1 else bound_th * float(np.linalg.norm(size)))


def _crop(gt_HW: np.ndarray, pred_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut both masks to the box around their union and one pixel more, as far as the frame goes.

    That pixel keeps every boundary pixel inside, and keeps the edge of the box from being taken for the frame's.
    """
    x, y, width, height = cv2.boundingRect((gt_HW | pred_HW).view(np.uint8))
    box = (slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1))
    return gt_HW[box], pred_HW[box]


def _boundary_f(gt_HW: np.ndarray, pred_HW: np.ndarray, radii: Sequence[float]) -> list[float]:
    # Bitmaps are Python integers, pixel (y, x) being bit y * stride + x: one operation on such an integer acts on the
    # whole frame, 30 pixels to a machine word, which makes the large disk cheap. Each row ends with empty columns,
    # where whatever a shift pushes beyond the frame's sides falls without reaching another row.
    disks = [_disk(radius) for radius in radii]
    stride = gt_HW.shape[1] + max(max(-left, right) for disk in disks for _, left, right in disk)
    gt, pred = _boundary_bits(gt_HW, stride), _boundary_bits(pred_HW, stride)
    gt_count, pred_count = gt.bit_count(), pred.bit_count()
    if gt_count == 0 or pred_count == 0:
        return [float(gt_count == pred_count)] * len(radii)
    values = []
    for disk in disks:
        precision = (pred & _dilate(gt, disk, stride)).bit_count() / pred_count
        recall = (gt & _dilate(pred, disk, stride)).bit_count() / gt_count
        values.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return values


def _boundary_bits(mask_HW: np.ndarray, stride: int) -> int:
    """Mark the pixels that differ from their right, lower or lower right neighbour within the frame."""
    height, width = mask_HW.shape
    boundary = np.zeros((height, stride), dtype=bool)
    boundary[:-1, :width] = mask_HW[:-1] ^ mask_HW[1:]
    boundary[:, : width - 1] |= mask_HW[:, :-1] ^ mask_HW[:, 1:]
    boundary[:-1, : width - 1] |= mask_HW[:-1, :-1] ^ mask_HW[1:, 1:]
    return int.from_bytes(np.packbits(boundary, bitorder="little").tobytes(), "little")


@cache
def _disk(radius: float) -> tuple[tuple[int, int, int], ...]:
    """Return the rows of a disk as (vertical offset, leftmost and rightmost offset), from the narrowest to the widest.

    A whole radius gives x² + y² <= radius². A fractional one gives what scikit-image and OpenCV's dilation make of it:
    coordinates -radius, 1 - radius, ... up to radius + 1, centred on the middle one, which is not 0. Below a radius of
    0.59 no coordinate lies in it; OpenCV then takes the corner of the square for it.
    """
    coordinates = np.arange(-radius, radius + 1)
    centre, rows = len(coordinates) // 2, []
    for index, y in enumerate(coordinates):
        inside = np.flatnonzero(coordinates**2 + y**2 <= radius**2)
        if inside.size:
            rows.append((index - centre, int(inside[0]) - centre, int(inside[-1]) - centre))
    if not rows:
        return ((-centre, -centre, -centre),)
    return tuple(sorted(rows, key=lambda row: row[2] - row[1]))


def _dilate(bits: int, disk: Sequence[tuple[int, int, int]], stride: int) -> int:
    """Mark each pixel from which an offset of the disk leads to a marked one."""
    left = right = min(max(disk[0][1], 0), disk[0][2])
    dilated, run = 0, _shift(bits, left)
    for vertical, wanted_left, wanted_right in disk:  # each row's run contains that of the row before
        while left > wanted_left:
            # A step may be as wide as the run is by now: nothing is left out between the copies.
            step = min(left - wanted_left, right - left + 1)
            run, left = run | run << step, left - step
        while right < wanted_right:
            step = min(wanted_right - right, right - left + 1)
            run, right = run | run >> step, right + step
        dilated |= _shift(run, vertical * stride)
    return dilated


def _shift(bits: int, offset: int) -> int:
    return bits >> offset if offset >= 0 else bits << -offset
