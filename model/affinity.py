"""Similarity, affinity and readout: the one home of space-time matching.

Training, inference and the correspondence losses use these functions; BMVOS and EMVOS match with those of
`model.twoframe.matching`. All of them compute in fp32 whatever the
autocast state: in fp16 the similarity is off by tenths at |2kq| = 4k and infinite at 65k.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.fast.search import k_largest, product_in_rows

# Elements of the similarity that exist at once during inference: queries are processed in blocks of this many. A CPU's
# allocator gives such a block the same pages again and again, where a larger one would cost page faults every time.
_BLOCK_ELEMENTS = {"cpu": 1 << 22, "other": 1 << 24}


def keep_best_queries(scores_BNP: Tensor, k: int) -> Tensor:
    """Keep each reference position's `k` best queries; all others fall to its lowest score.

    Queries that tie with the k-th best are kept too, so that the result does not depend on their order.

    Args:
        scores_BNP: scores on any number of leading dimensions.
        k: how many to keep, clamped to P; 0 keeps all.

    Returns:
        Scores of the same shape.
    """
    positions = scores_BNP.shape[-1]
    if k == 0 or k >= positions:
        return scores_BNP
    worst_kept = scores_BNP.topk(k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
    return torch.where(scores_BNP >= worst_kept, scores_BNP, scores_BNP.amin(dim=-1, keepdim=True))


def lift_memory(key_NK: Tensor, shrinkage_N1: Tensor | None, anisotropic: bool) -> Tensor:
    """Lift memory keys to vectors whose product with those of `lift_query` is the similarity.

    Args:
        key_NK: keys, one row per element, on any number of leading dimensions.
        shrinkage_N1: shrinkage, or None.
        anisotropic: whether queries have a selection.

    Returns:
        [...,N,D] in fp32.
    """
    key = key_NK.float()
    squared = key.square()
    if not anisotropic:
        squared = squared.sum(dim=-1, keepdim=True)
    scale = 1 / math.sqrt(key.shape[-1])
    if shrinkage_N1 is None:
        return torch.cat([squared * -scale, key * (2 * scale)], dim=-1)
    # The constant column meets the query's own norm, which does not cancel in a softmax over memory once it is scaled.
    parts = [-squared, 2 * key, key.new_full((*key.shape[:-1], 1), -1.0)]
    return torch.cat(parts, dim=-1) * (shrinkage_N1.float() * scale)


def lift_query(key_KP: Tensor, selection_KP: Tensor | None, shrunk: bool) -> Tensor:
    """Lift query keys, one column per position: [...,D,P] in fp32; `shrunk` is whether the memory has a shrinkage."""
    key = key_KP.float()
    if selection_KP is None:
        parts = [torch.ones_like(key[..., :1, :]), key]
        weighted = key
    else:
        selection = selection_KP.float()
        weighted = key * selection
        parts = [selection, weighted]
    if shrunk:
        parts.append((weighted * key).sum(dim=-2, keepdim=True))
    return torch.cat(parts, dim=-2)


def similarity(
    memory_key_BKN: Tensor,
    memory_shrinkage_B1N: Tensor | None,
    query_key_BKP: Tensor,
    query_selection_BKP: Tensor | None,
) -> Tensor:
    """Similarity of every memory element to every query position.

    STCN (no shrinkage, no selection): `(2 k.q - |k|^2) / sqrt(K)`, the negative squared distance up to a term that
    is constant over memory. XMem: `s * (-sum(e k^2) + 2 sum(k e q) - sum(e q^2)) / sqrt(K)` (XMem Eq. 2). Both are
    one matrix product of lifted vectors, so that no temporary of the result's size is needed.

    Args:
        memory_key_BKN: keys of the memory.
        memory_shrinkage_B1N: shrinkage s >= 1, or None.
        query_key_BKP: keys of the query.
        query_selection_BKP: selection e in [0, 1], or None.

    Returns:
        [B,N,P] in fp32.
    """
    shrinkage_BN1 = None if memory_shrinkage_B1N is None else memory_shrinkage_B1N.transpose(1, 2)
    memory_BND = lift_memory(memory_key_BKN.transpose(1, 2), shrinkage_BN1, query_selection_BKP is not None)
    return lifted_similarity(memory_BND, lift_query(query_key_BKP, query_selection_BKP, shrinkage_BN1 is not None))


def lifted_similarity(memory_BND: Tensor, query_BDP: Tensor) -> Tensor:
    """Return the similarity [B,N,P], in fp32, of what `lift_memory` and `lift_query` made."""
    with torch.autocast(device_type=memory_BND.device.type, enabled=False):
        return memory_BND @ query_BDP


def softmax_affinity(similarity_BNP: Tensor) -> Tensor:
    """Softmax over memory (dim 1), in fp32: every query position's weights sum to one."""
    return torch.softmax(similarity_BNP.float(), dim=1)


def readout(affinity_BNP: Tensor, value_BCN: Tensor) -> Tensor:
    """Read values with an affinity: [B,C,N] @ [B,N,P] -> [B,C,P] (paper Eq. 4), in the value's precision."""
    return value_BCN @ affinity_BNP.to(value_BCN.dtype)


class Match(NamedTuple):
    """The memory elements that each query position reads, and their weights.

    Attributes:
        index_PK: positions in memory, int64.
        weight_PK: softmax weights in fp32; each row sums to one.
    """

    index_PK: Tensor
    weight_PK: Tensor


def match_top_k(
    memory_key_NK: Tensor,
    memory_shrinkage_N1: Tensor | None,
    query_key_KP: Tensor,
    query_selection_KP: Tensor | None,
    top_k: int | None,
    bijective_k: int = 0,
) -> Match:
    """Lift memory and query, and match them with `match_lifted`.

    Args:
        memory_key_NK: keys of the memory, one row per element.
        memory_shrinkage_N1: shrinkage, or None.
        query_key_KP: keys of the query.
        query_selection_KP: selection, or None.
        top_k: how many elements to keep, see `match_lifted`.
        bijective_k: see `match_lifted`.

    Returns:
        The match, rows in query order.
    """
    memory_ND = lift_memory(memory_key_NK, memory_shrinkage_N1, query_selection_KP is not None)
    query_DP = lift_query(query_key_KP, query_selection_KP, memory_shrinkage_N1 is not None)
    return match_lifted(memory_ND, query_DP, top_k, bijective_k)


def match_lifted(memory_ND: Tensor, query_DP: Tensor, top_k: int | None, bijective_k: int = 0) -> Match:
    """Find the `top_k` most similar memory elements of every query position, softmax over those (STCN §3.3).

    How many a network reads is `model.build.NetworkRow.top_k`; training reads all, with `softmax_affinity`.

    The similarity is computed in blocks of queries, so the peak does not grow with memory size times image size.

    Args:
        memory_ND: the memory's keys, lifted by `lift_memory`.
        query_DP: the query's keys, lifted by `lift_query`.
        top_k: how many elements to keep, clamped to N; None keeps all.
        bijective_k: before, each memory element keeps so many queries, see `keep_best_queries`; 0 keeps all. Elements
            must see all queries for that, so the peak then does grow.

    Returns:
        The match, rows in query order.
    """
    elements, positions = memory_ND.shape[0], query_DP.shape[1]
    kept = elements if top_k is None else min(top_k, elements)
    device = memory_ND.device.type
    most = max(_BLOCK_ELEMENTS.get(device, _BLOCK_ELEMENTS["other"]) // elements, 1)
    block = math.ceil(positions / math.ceil(positions / most)) if not bijective_k else positions  # equal blocks
    with torch.autocast(device_type=device, enabled=False):
        # Queries are rows here: top-k then runs over contiguous memory.
        scores = (product_in_rows(part_DP.T, memory_ND.T) for part_DP in query_DP.split(block, dim=1))
        if bijective_k:
            scores = (keep_best_queries(scores_PN.T, bijective_k).T.contiguous() for scores_PN in scores)
        parts = [k_largest(scores_PN, kept) for scores_PN in scores]
    values, index = parts[0] if len(parts) == 1 else (torch.cat(x) for x in zip(*parts, strict=True))
    assert values.shape == (positions, kept)
    return Match(index, torch.softmax(values, dim=1))


def sparse_readout(match: Match, value_NC: Tensor) -> Tensor:
    """Read value rows with a match: only `K` of the `N` rows are touched for each query position.

    Args:
        match: which rows each query reads.
        value_NC: one row per memory element.

    Returns:
        [P,C] in the value's dtype.
    """
    weight = match.weight_PK.to(value_NC.dtype)
    return F.embedding_bag(match.index_PK, value_NC, per_sample_weights=weight, mode="sum")
