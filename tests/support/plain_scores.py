"""Scores in the plainest loops, written from the benchmarks' rules: what tests compare the scorers with."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from util.files.palette import write_mask

Ids = list[list[int]]


def iou(gt: np.ndarray, pred: np.ndarray) -> float:
    """Intersection over union of two masks; 1 if both are empty."""
    both = either = 0
    for a, b in zip(gt.ravel().tolist(), pred.ravel().tolist(), strict=True):
        both += bool(a and b)
        either += bool(a or b)
    return both / either if either else 1.0


def edge(mask: np.ndarray) -> set[tuple[int, int]]:
    """The pixels that differ from their right, lower or lower right neighbour within the frame."""
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (1, 1)):
                if mask[y, x] != mask[min(y + dy, height - 1), min(x + dx, width - 1)]:
                    found.add((y, x))
    return found


def offsets(radius: float) -> set[tuple[int, int]]:
    """The offsets of a disk as scikit-image makes it, from OpenCV's centre."""
    count = math.ceil(2 * radius + 1)
    along = [-radius + step for step in range(count)]
    centre = count // 2
    return {
        (i - centre, j - centre)
        for i, y in enumerate(along)
        for j, x in enumerate(along)
        if x * x + y * y <= radius * radius
    }


def boundary(gt: np.ndarray, pred: np.ndarray, radius: float) -> float:
    """F: a pixel of one edge is matched when an offset of the disk leads from it to the other edge."""
    disk, a, b = offsets(radius), edge(gt), edge(pred)
    if not a or not b:
        return float(len(a) == len(b))
    recall = sum(any((y + dy, x + dx) in b for dy, dx in disk) for y, x in a) / len(a)
    precision = sum(any((y + dy, x + dx) in a for dy, dx in disk) for y, x in b) / len(b)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def davis_radius(mask: np.ndarray) -> int:
    """The radius of DAVIS: 0.008 of the diagonal, rounded up."""
    return math.ceil(0.008 * math.hypot(*mask.shape))


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def write_videos(
    root: Path, videos: dict[str, list[np.ndarray]], start: int = 0, step: int = 1, digits: int = 5
) -> Path:
    """Write masks of ids as root/VIDEO/FRAME.png."""
    for name, masks in videos.items():
        for index, mask in enumerate(masks):
            write_mask(root / name / f"{start + step * index:0{digits}d}.png", mask)
    return root


def frame(*boxes: tuple[int, int, int, int, int], size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """A mask with boxes (id, top, left, height, width), the later over the earlier."""
    ids = np.zeros(size, np.uint8)
    for key, top, left, height, width in boxes:
        ids[top : top + height, left : left + width] = key
    return ids


def random_frames(seed: int, count: int, ids: Sequence[int], size: tuple[int, int]) -> list[np.ndarray]:
    """Masks with a box for each of the ids, which is missing now and then."""
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        boxes = []
        for key in ids:
            top, left = (int(generator.integers(0, side - 4)) for side in size)
            height, width = (int(number) for number in generator.integers(2, 12, 2))
            if generator.random() > 0.25:
                boxes.append((key, top, left, height, width))
        frames.append(frame(*boxes, size=size))
    return frames
