"""Pictures as the networks want them: ImageNet's mean and standard deviation of RGB in 0..1, sides of a multiple."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Padding(NamedTuple):
    """Rows and columns added on each side."""

    left: int
    right: int
    top: int
    bottom: int

    def crop(self, x: Tensor) -> Tensor:
        """Cut the added rows and columns off [...,H,W]."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]


def padding_to_multiple(height: int, width: int, divisor: int, odd_first: bool = False) -> Padding:
    """How much to add to reach a multiple of `divisor`: split evenly, the odd one at the bottom or right.

    With `odd_first` it is at the top or left.
    """
    extra_h = math.ceil(height / divisor) * divisor - height
    extra_w = math.ceil(width / divisor) * divisor - width
    if odd_first:
        return Padding(extra_w - extra_w // 2, extra_w // 2, extra_h - extra_h // 2, extra_h // 2)
    return Padding(extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)


def pad(x: Tensor, padding: Padding) -> Tensor:
    """Pad [...,H,W] with zeros."""
    return x if not any(padding) else F.pad(x, tuple(padding))


def reflect(x: Tensor, padding: Padding) -> Tensor:
    """Pad [...,H,W] with its reflection, the edge itself not repeated; a side may be smaller than what is added."""
    if not any(padding):
        return x
    rows = _reflected(x.shape[-2], padding.top, padding.bottom, x.device)
    columns = _reflected(x.shape[-1], padding.left, padding.right, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


def _reflected(length: int, before: int, after: int, device: torch.device) -> Tensor:
    # 0 1 2 1 0 1 2 ...: there and back takes 2 * (length - 1) steps.
    there_and_back = max(2 * (length - 1), 1)
    index = torch.arange(-before, length + after, device=device).remainder(there_and_back)
    return torch.minimum(index, there_and_back - index) if length > 1 else torch.zeros_like(index)
