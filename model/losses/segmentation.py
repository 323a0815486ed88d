"""Segmentation losses: pure functions of logits and labels for a whole batch of clips at once.

Each is a mean over clips that no other clip of the batch has a say in: the losses of a large batch are the means of its
equal parts' losses, whichever way it is split.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def bootstrap_share(step: int, start: int, end: int, share: float) -> float:
    """Share of the pixels that the cross-entropy counts: 1 until `start`, then linearly down to `share` at `end`.

    Published: 20,000, 70,000 and 0.15, counted in iterations of the stage.
    """
    if step < start:
        return 1.0
    if step >= end:
        return share
    return share + (1 - share) * (end - step) / (end - start)


def bootstrapped_cross_entropy(logits_BTLHW: Tensor, labels_BTHW: Tensor, valid_BO: Tensor, share: float) -> Tensor:
    """Cross-entropy over the hardest `share` of the pixels of every frame (STCN §4.1).

    The mean runs over pixels and clips, the sum over frames. Labels of padded objects are left out of the softmax.

    Args:
        logits_BTLHW: label logits, background first.
        labels_BTHW: true labels, 0 for background.
        valid_BO: False where an object only pads the batch.
        share: of the pixels, in (0, 1]; rounded down, at least one pixel.

    Returns:
        Scalar in fp32.
    """
    padded = F.pad(~valid_BO, (1, 0))[:, None, :, None, None]
    # Minus infinity takes a label out of the softmax; a product with zero would not.
    logits = logits_BTLHW.float().masked_fill(padded, -torch.inf)
    pixel_loss = F.cross_entropy(logits.flatten(0, 1), labels_BTHW.flatten(0, 1).long(), reduction="none")
    pixel_loss = pixel_loss.flatten(1)
    kept = max(int(pixel_loss.shape[1] * share), 1)
    if kept < pixel_loss.shape[1]:
        pixel_loss = pixel_loss.topk(kept, dim=1, sorted=False).values
    return pixel_loss.mean(dim=1).sum() / len(logits_BTLHW)


def dice_loss(logits_BTLHW: Tensor, labels_BTHW: Tensor, slots: int, background: bool = False) -> Tensor:
    """Dice loss of the objects' probabilities, smoothed by one: `1 - (2|m g| + 1) / (|m| + |g| + 1)` (XMem §3.5).

    The mean runs over clips and object slots, the sum over frames. An object that only pads a clip has neither
    probability nor pixels: its loss is 0, but its slot counts in the mean. So it is in the published code, where every
    clip has the same number of slots, and so a clip's share does not depend on which clips it is batched with.

    Args:
        logits_BTLHW: label logits, background first; minus infinity for padded objects.
        labels_BTHW: true labels, 0 for background.
        slots: the most objects that a clip may have, at least O.
        background: whether it counts as one more object (the correspondence paper's release).

    Returns:
        Scalar in fp32.
    """
    objects, first = logits_BTLHW.shape[2] - 1, 0 if background else 1
    assert slots >= objects, f"{objects} objects do not fit in {slots} slots"
    prob = torch.softmax(logits_BTLHW.float(), dim=2)[:, :, first:]
    ids = torch.arange(first, objects + 1, device=labels_BTHW.device)
    truth = (labels_BTHW.unsqueeze(2) == ids[:, None, None]).float()
    overlap = (prob * truth).sum(dim=(-2, -1))
    total = prob.sum(dim=(-2, -1)) + truth.sum(dim=(-2, -1))
    loss_BTO = 1 - (2 * overlap + 1) / (total + 1)
    return loss_BTO.sum() / (len(logits_BTLHW) * (slots + background))


@torch.no_grad()
def mean_iou(logits_BTLHW: Tensor, labels_BTHW: Tensor, valid_BO: Tensor) -> Tensor:
    """Intersection over union of the predicted objects, pooled over a clip's frames, mean over objects, then clips.

    An object with neither prediction nor truth counts as 1. Scalar in fp32.
    """
    ids = torch.arange(1, valid_BO.shape[1] + 1, device=labels_BTHW.device)[:, None, None]
    # Equals a comparison with argmax, which is many times slower over a dimension that is not the last.
    background, objects = logits_BTLHW[:, :, :1], logits_BTLHW[:, :, 1:]
    predicted = (objects == objects.amax(dim=2, keepdim=True)) & (objects > background)
    true = labels_BTHW.unsqueeze(2) == ids
    intersection = (predicted & true).sum(dim=(1, 3, 4)).float()
    union = (predicted | true).sum(dim=(1, 3, 4)).float()
    iou_BO = torch.where(union > 0, intersection / union.clamp(min=1), 1.0)
    return ((iou_BO * valid_BO).sum(dim=1) / valid_BO.sum(dim=1).clamp(min=1)).mean()
