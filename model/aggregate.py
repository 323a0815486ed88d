"""Soft aggregation of independent object probabilities into one distribution over labels."""

import torch
from torch import Tensor

# 1 - 1e-7 is the largest probability whose log-odds stay finite in fp32; in fp16 it would round to 1.
_EPSILON = 1e-7


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
    background = (1 - prob).prod(dim=-3, keepdim=True)
    prob_BLHW = torch.cat([background, prob], dim=-3).clamp(_EPSILON, 1 - _EPSILON)
    return torch.logit(prob_BLHW)
