"""Frames of noise and masks of boxes, for segmenters."""

import torch

H, W = 40, 56


def frame(t: int) -> torch.Tensor:
    return torch.randn(3, H, W, generator=torch.Generator().manual_seed(t))


def mask_of(**boxes: tuple[int, int, int, int]) -> torch.Tensor:
    """Ids as `_7=(top, left, bottom, right)`."""
    mask = torch.zeros(H, W, dtype=torch.int64)
    for name, (top, left, bottom, right) in boxes.items():
        mask[top:bottom, left:right] = int(name[1:])
    return mask


FIRST = mask_of(_7=(4, 4, 20, 20), _300=(10, 30, 30, 50))
