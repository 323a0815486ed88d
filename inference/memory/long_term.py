"""XMem's consolidation and eviction as pure functions of memory rows (XMem §3.3)."""

import torch
from torch import Tensor

from model.affinity import readout, similarity, softmax_affinity


def consolidate(candidates: dict[str, Tensor], num_prototypes: int) -> dict[str, Tensor]:
    """Condense candidate rows into prototypes.

    The candidates with the highest usage become prototypes. A prototype keeps its own key; its value and shrinkage are
    read from all candidates with a full softmax, its own key and selection being the query.

    Args:
        candidates: columns `key` [N,K], `shrinkage` [N,1] (optional), `selection` [N,K], `value` [N,O,V], `received`
            and `lived` [N].
        num_prototypes: how many to make, clamped to N.

    Returns:
        Columns `key`, `selection`, `value` and, if given, `shrinkage` of the prototypes, most used first.
    """
    usage = candidates["received"] / candidates["lived"]
    chosen = usage.topk(min(num_prototypes, usage.shape[0])).indices
    key, selection, value = candidates["key"], candidates["selection"], candidates["value"]
    shrinkage = candidates.get("shrinkage")
    affinity = softmax_affinity(
        similarity(
            key.T[None],
            None if shrinkage is None else shrinkage.T[None],
            key[chosen].T[None],
            selection[chosen].T[None],
        )
    )

    def read(rows: Tensor) -> Tensor:
        return readout(affinity, rows.flatten(1).T[None])[0].T.unflatten(1, rows.shape[1:])

    prototypes = {"key": key[chosen], "selection": selection[chosen], "value": read(value)}
    if shrinkage is not None:
        prototypes["shrinkage"] = read(shrinkage)
    return prototypes


def least_used_removed(usage_N: Tensor, count: int) -> Tensor:
    """Positions that stay when exactly `count` of the least used rows go, in their old order."""
    gone = usage_N.topk(count, largest=False).indices
    stays = torch.ones_like(usage_N, dtype=torch.bool)
    stays[gone] = False
    # Not nonzero(): a GPU would have to be waited for, to hear how many there are.
    return torch.argsort(stays.byte(), descending=True, stable=True)[: len(usage_N) - count]
