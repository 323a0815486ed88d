"""Pictures of a batch in training, for people to look at."""

import cv2
import numpy as np
import torch
from torch import Tensor

from dataset.clip import ClipBatch
from util.files.palette import overlay

_FRAMES = 4  # shown of a clip; more would be too small to see
_SIDE = 256  # pixels of a frame at most
_GAP = 4  # pixels between frames


@torch.no_grad()
def clip_picture(batch: ClipBatch, logits_BTLHW: Tensor, clip: int = 0) -> np.ndarray:
    """Return a picture [H,W,3] uint8 of one clip: a row for each frame, with the frame, the prediction and the truth.

    Of a long clip, four frames spread from the second to the last are shown.

    Args:
        batch: the clips.
        logits_BTLHW: what the network made of all frames after the first: label logits, background first.
        clip: which of them.

    Raises ValueError when the logits are not those of the batch.
    """
    count, frames = batch.labels_BTHW.shape[:2]
    if logits_BTLHW.shape[:2] != (count, frames - 1) or logits_BTLHW.shape[-2:] != batch.labels_BTHW.shape[-2:]:
        raise ValueError(
            f"logits {list(logits_BTLHW.shape)} do not belong to a batch with labels {list(batch.labels_BTHW.shape)}: "
            "expected one frame less, of the same size."
        )
    rows = []
    for t in np.unique(np.linspace(1, frames - 1, min(_FRAMES, frames - 1)).round().astype(int)):
        rgb = batch.images_BT3HW[clip, t].permute(1, 2, 0).cpu().numpy()
        predicted = logits_BTLHW[clip, t - 1].argmax(dim=0).to(torch.uint8).cpu().numpy()
        truth = batch.labels_BTHW[clip, t].cpu().numpy()
        row = [_fit(picture) for picture in (rgb, overlay(rgb, predicted), overlay(rgb, truth))]
        rows.append(_join(row, axis=1))
    return _join(rows, axis=0)


def _fit(rgb: np.ndarray) -> np.ndarray:
    scale = _SIDE / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _join(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(parts, axis=axis)
