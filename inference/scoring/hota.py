"""HOTA of tracks, from their overlaps: how well they are detected, and how well told apart.

Luiten et al., IJCV 2021; equal to TrackEval's, with SciPy's assignment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

# The overlaps from which a match counts: 0.05, 0.1, ... 0.95.
ALPHAS = np.arange(0.05, 0.99, 0.05)
_EPSILON = float(np.finfo("float").eps)


@dataclass(frozen=True)
class FrameOverlap:
    """A frame: true tracks, predicted tracks, and their IoU [true, predicted]."""

    true: tuple[int, ...]
    predicted: tuple[int, ...]
    iou: np.ndarray


@dataclass(frozen=True)
class Counts:
    """What sequences add up to; arrays are [19], one value for each of ALPHAS.

    Attributes:
        matched: matched detections.
        missed: true detections without match.
        surplus: predicted detections without match.
        association: sum over the matched detections of how well their tracks agree.
    """

    matched: np.ndarray
    missed: np.ndarray
    surplus: np.ndarray
    association: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":
        """Join two sequences."""
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def figures(self) -> dict[str, float]:
        """Return HOTA, DetA and AssA, means over ALPHAS."""
        detection = self.matched / np.maximum(1, self.matched + self.missed + self.surplus)
        association = self.association / np.maximum(1, self.matched)
        values = {"HOTA": np.sqrt(detection * association), "DetA": detection, "AssA": association}
        return {name: float(value.mean()) for name, value in values.items()}


def count(frames: Sequence[FrameOverlap]) -> Counts:
    """Match the tracks of one sequence, frame by frame, and count.

    In each frame the assignment maximises the sum of IoU times the tracks' agreement over the whole sequence; it is the
    same for all alphas, which only say which of its pairs count.
    """
    true = _numbers([frame.true for frame in frames])
    predicted = _numbers([frame.predicted for frame in frames])
    true_count, predicted_count, possible = _alignments(frames, true, predicted)
    union = true_count[:, None] + predicted_count[None] - possible
    agreement = np.divide(possible, union, out=np.zeros_like(possible), where=union > 0)

    matches = np.zeros((len(ALPHAS), len(true), len(predicted)))
    for frame in frames:
        rows, columns = [true[key] for key in frame.true], [predicted[key] for key in frame.predicted]
        if not rows or not columns:
            continue
        picked = linear_sum_assignment(-agreement[np.ix_(rows, columns)] * frame.iou)
        for row, column in zip(*picked, strict=True):
            matches[frame.iou[row, column] >= ALPHAS - _EPSILON, rows[row], columns[column]] += 1
    matched = matches.sum((1, 2))
    together = np.maximum(1, true_count[:, None] + predicted_count[None] - matches)
    return Counts(
        matched=matched,
        missed=true_count.sum() - matched,
        surplus=predicted_count.sum() - matched,
        association=(matches * matches / together).sum((1, 2)),
    )


def _numbers(ids: Sequence[Sequence[int]]) -> dict[int, int]:
    return {key: number for number, key in enumerate(sorted({key for frame in ids for key in frame}))}


def _alignments(
    frames: Sequence[FrameOverlap], true: Mapping[int, int], predicted: Mapping[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return in how many frames each track is, and for each pair the sum of its shares of the frame's overlaps."""
    true_count, predicted_count = np.zeros(len(true)), np.zeros(len(predicted))
    possible = np.zeros((len(true), len(predicted)))
    for frame in frames:
        rows, columns = [true[key] for key in frame.true], [predicted[key] for key in frame.predicted]
        true_count[rows] += 1
        predicted_count[columns] += 1
        if rows and columns:
            total = frame.iou.sum(0)[None] + frame.iou.sum(1)[:, None] - frame.iou
            share = np.divide(frame.iou, total, out=np.zeros_like(total), where=total > _EPSILON)
            possible[np.ix_(rows, columns)] += share
    return true_count, predicted_count, possible
