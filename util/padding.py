"""Zero padding of images to a multiple of the networks' stride."""

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


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


def padding_to_multiple(height: int, width: int, divisor: int) -> Padding:
    """How much to add to reach a multiple of `divisor`: split evenly, the odd one at the bottom or right."""
    extra_h = math.ceil(height / divisor) * divisor - height
    extra_w = math.ceil(width / divisor) * divisor - width
    return Padding(extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)


def pad(x: Tensor, padding: Padding) -> Tensor:
    """Pad [...,H,W] with zeros."""
    return x if not any(padding) else F.pad(x, tuple(padding))
