"""The segmentation losses of a recipe, together."""

import torch
from torch import Tensor

from model.losses.segmentation import bootstrapped_cross_entropy, dice_loss


def segmentation_losses(
    logits_BTLHW: Tensor, labels_BTHW: Tensor, valid_BO: Tensor, *, share: float, slots: int, dice: bool
) -> dict[str, Tensor]:
    """Return the cross-entropy and, if asked for, the Dice loss."""
    losses = {"cross_entropy": bootstrapped_cross_entropy(logits_BTLHW, labels_BTHW, valid_BO, share)}
    return losses | ({"dice": dice_loss(logits_BTLHW, labels_BTHW, slots)} if dice else {})


def total(losses: dict[str, Tensor]) -> Tensor:
    """Return the sum."""
    return torch.stack(list(losses.values())).sum()
