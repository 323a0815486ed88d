"""Soft aggregation of independent object probabilities into one distribution over labels."""

import math

import torch
from torch import Tensor

# 1 - 1e-7 is the largest probability whose log-odds stay finite in fp32; in fp16 it would round to 1.
_EPSILON = 1e-7
LOGIT_LIMIT = math.log((1 - _EPSILON) / _EPSILON)  # log-odds of the largest probability
_NO_OBJECT = -1e4  # log-odds of an object that is not there, finite so that the background's are


def aggregate(prob_BOHW: Tensor) -> Tensor:
    """Turn object probabilities into label logits (STM's soft aggregation).

    The background's probability is the product of `1 - p`; every probability is clamped to [1e-7, 1 - 1e-7] and
    becomes its log-odds. Softmax over labels of the result gives the joint probabilities.

    Args:
        prob_BOHW: probability of each object, in [0, 1], on any number of leading dimensions.

    Returns:
        Logits [B,L,H,W] in fp32, background first, L = O + 1.
    """
    prob = prob_BOHW.float()
    background = _product(1 - prob)
    return torch.logit(torch.cat([background, prob], dim=-3), eps=_EPSILON)


def _product(x_BOHW: Tensor) -> Tensor:
    """Multiply over objects. The backward pass of `prod` asks whether there are zeros, and so waits for a GPU."""
    product, *others = x_BOHW.split(1, dim=-3)
    for factor in others:
        product = product * factor
    return product


def soft_odds(logit_BOHW: Tensor, valid_BO: Tensor | None = None) -> Tensor:
    """Turn object log-odds into label logits (the soft odds of BMVOS and EMVOS).

    The background's probability is the minimum over objects of `1 - p`; its log-odds are therefore minus the largest
    of the objects'. Clamp to `LOGIT_LIMIT` before where probabilities must stay within [1e-7, 1 - 1e-7]: in training
    that would stop the gradient of what is surely wrong.

    Args:
        logit_BOHW: log-odds of each object.
        valid_BO: bool, False for objects that only pad the batch; they get minus infinity.

    Returns:
        Logits [B,L,H,W] in fp32, background first, L = O + 1; their softmax over labels is proportional to the odds.
    """
    logit = logit_BOHW.float()
    if valid_BO is None:
        return torch.cat([-logit.amax(dim=1, keepdim=True), logit], dim=1)
    padded = ~valid_BO[:, :, None, None]
    best = logit.masked_fill(padded, _NO_OBJECT).amax(dim=1, keepdim=True)
    return torch.cat([-best, logit.masked_fill(padded, -torch.inf)], dim=1)
