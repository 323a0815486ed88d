"""Contrast of features with candidates of their own clip and of the others."""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from model.affinity import similarity
from model.losses.gather import gather_ranks


def take_positions(map_BKYX: Tensor, positions_BA: Tensor) -> Tensor:
    """Features [B,A,K] of a map at flattened positions."""
    rows_BPK = map_BKYX.flatten(2).transpose(1, 2)
    return rows_BPK.gather(1, positions_BA[..., None].expand(-1, -1, rows_BPK.shape[2]))


class Queries(NamedTuple):
    """Queries of each clip.

    Attributes:
        key_BKP: their keys.
        selection_BKP: XMem's selection of them, or None.
    """

    key_BKP: Tensor
    selection_BKP: Tensor | None = None


class Candidates(NamedTuple):
    """Each clip's candidates, in S sets.

    Attributes:
        key_BSAK: their keys.
        shrinkage_BSA1: XMem's shrinkage of them, or None.
        real_BA: False for those that only pad; None: all are real.
    """

    key_BSAK: Tensor
    shrinkage_BSA1: Tensor | None = None
    real_BA: Tensor | None = None

    def gather(self) -> "Candidates":
        """Return those of all processes."""
        return Candidates(*[None if x is None else gather_ranks(x) for x in self])  # type: ignore[arg-type]


def contrast(
    queries: Queries, candidates: Candidates, target_BSP: Tensor, own: bool | Tensor = True, gather: bool = False
) -> Tensor:
    """Cross-entropy [B,S,P] of every query's similarities to the candidates of all clips, each set by itself.

    Args:
        queries: of each clip.
        candidates: of each clip.
        target_BSP: the right candidate among the clip's own.
        own: whether the clip's other candidates are negatives, too; or which of them [B,A,P] are.
        gather: whether the candidates of all processes take part.
    """
    clips, sets, count, _ = candidates.key_BSAK.shape
    first = clips * dist.get_rank() if gather and dist.is_initialized() else 0
    everyone = candidates.gather() if gather else candidates
    clip_B = first + torch.arange(clips, device=target_BSP.device)
    target_SP = (clip_B[:, None, None] * count + target_BSP).transpose(0, 1).flatten(1)
    # One matrix product for all clips and sets.
    scores_SNP = similarity(
        _in_a_row(everyone.key_BSAK.permute(3, 1, 0, 2)),
        None if everyone.shrinkage_BSA1 is None else _in_a_row(everyone.shrinkage_BSA1.permute(3, 1, 0, 2)),
        _in_a_row(queries.key_BKP.transpose(0, 1)),
        None if queries.selection_BKP is None else _in_a_row(queries.selection_BKP.transpose(0, 1)),
    ).view(sets, -1, target_SP.shape[1])
    if everyone.real_BA is not None or own is not True:
        other_Z1B1 = (torch.arange(len(everyone.key_BSAK), device=clip_B.device)[:, None] != clip_B)[:, None, :, None]
        shown_ZABP = (other_Z1B1 | (own is True)).expand(-1, count, -1, target_BSP.shape[2])
        if isinstance(own, Tensor):
            shown_ZABP = shown_ZABP.clone()
            shown_ZABP[clip_B, :, clip_B - first] = own
        if everyone.real_BA is not None:
            shown_ZABP = shown_ZABP & everyone.real_BA[:, :, None, None]
        shown_SNP = shown_ZABP.reshape(1, -1, target_SP.shape[1]).repeat(sets, 1, 1)
        shown_SNP.scatter_(1, target_SP[:, None], True)
        scores_SNP = scores_SNP.masked_fill(~shown_SNP, -torch.inf)
    loss_SP = F.cross_entropy(scores_SNP, target_SP, reduction="none")
    return loss_SP.unflatten(1, (clips, -1)).transpose(0, 1)


def _in_a_row(x_C: Tensor) -> Tensor:
    """Channels [C,...] as the columns [1,C,N] of one clip."""
    return x_C.reshape(1, len(x_C), -1)
