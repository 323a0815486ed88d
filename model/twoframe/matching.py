"""How a query is matched with reference frames: surjectively, bijectively (BMVOS), equalized (EMVOS).

Scores of every reference position i for every query position j are shared by all objects; an object enters through its
soft masks over reference positions alone. All of it is fp32, whatever the autocast state.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.affinity import keep_best_queries


def cosine_scores(reference_key_BKN: Tensor, query_key_BKP: Tensor) -> Tensor:
    """Return `(1 + cos(k_i, q_j)) / 2` of every reference key i and query key j: [B,N,P] in [0, 1]."""
    with torch.autocast(device_type=query_key_BKP.device.type, enabled=False):
        reference = F.normalize(reference_key_BKN.float(), dim=1)
        query = F.normalize(query_key_BKP.float(), dim=1)
        return (reference.transpose(1, 2) @ query + 1) / 2


def equalized_scores(reference_key_BKN: Tensor, query_key_BKP: Tensor) -> Tensor:
    """Return the softmax of `<k_i, q_j>` over the query positions j: [B,N,P] in [0, 1].

    Every row sums to one: each reference position has one vote, which it divides among the query's.
    """
    with torch.autocast(device_type=query_key_BKP.device.type, enabled=False):
        return torch.softmax(reference_key_BKN.float().transpose(1, 2) @ query_key_BKP.float(), dim=2)


def surjective(scores_BNP: Tensor, mask_BOCN: Tensor) -> Tensor:
    """Take, for every query position, the best masked score `max_i S_ij m_i`, however often i is chosen.

    Args:
        scores_BNP: scores that are not negative.
        mask_BOCN: soft masks in [0, 1] of each object (O) and class (C: background, foreground).

    Returns:
        [B,O,C,P] in fp32.
    """
    scores, mask = scores_BNP.float(), mask_BOCN.float()
    # One mask at a time: all products at once would be O * C times as large as the scores.
    best = [(scores * weight_BN.unsqueeze(2)).amax(dim=1) for weight_BN in mask.flatten(1, 2).unbind(dim=1)]
    return torch.stack(best, dim=1).unflatten(1, mask.shape[1:3])


def bijective(scores_BNP: Tensor, mask_BOCN: Tensor, k: int) -> Tensor:
    """Match surjectively after each reference position has chosen its `k` best queries (BMVOS §3.2).

    A mask scales a reference position's scores as a whole: choosing before masking is choosing after it, but needs to
    be done once for all objects.

    Args:
        scores_BNP: scores that are not negative.
        mask_BOCN: as in `surjective`.
        k: as in `keep_best_queries`.

    Returns:
        [B,O,C,P] in fp32.
    """
    return surjective(keep_best_queries(scores_BNP, k), mask_BOCN)


def equalized(reference_key_BKN: Tensor, query_key_BKP: Tensor, mask_BOCN: Tensor) -> Tensor:
    """Match with equalized scores (EMVOS §3.2): `max_i E_ij m_i`, [B,O,C,P] in fp32."""
    return surjective(equalized_scores(reference_key_BKN, query_key_BKP), mask_BOCN)
