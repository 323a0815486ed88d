"""Contrast of features with candidates of their own clip and of the others."""

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


def contrast(
    query_BKP: Tensor,
    candidates_BSAK: Tensor,
    target_BSP: Tensor,
    real_BA: Tensor | None,
    own: bool | Tensor,
    gather: bool,
) -> Tensor:
    """Cross-entropy [B,S,P] of every query's similarities to the candidates of all clips, each set by itself.

    Args:
        query_BKP: queries of each clip.
        candidates_BSAK: each clip's candidates, in S sets.
        target_BSP: the right candidate among the clip's own.
        real_BA: False for candidates that only pad; None: all are real.
        own: whether the clip's other candidates are negatives, too; or which of them [B,A,P] are.
        gather: whether the candidates of all processes take part.
    """
    clips, sets, count, channels = candidates_BSAK.shape
    first = clips * dist.get_rank() if gather and dist.is_initialized() else 0
    all_ZSAK = gather_ranks(candidates_BSAK) if gather else candidates_BSAK
    clip_B = first + torch.arange(clips, device=target_BSP.device)
    target_SP = (clip_B[:, None, None] * count + target_BSP).transpose(0, 1).flatten(1)
    # One matrix product for all clips and sets.
    memory_1KN = all_ZSAK.permute(3, 1, 0, 2).reshape(1, channels, -1)
    query_1KP = query_BKP.transpose(0, 1).reshape(1, channels, -1)
    scores_SNP = similarity(memory_1KN, None, query_1KP, None).view(sets, -1, query_1KP.shape[2])
    if real_BA is not None or own is not True:
        other_Z1B1 = (torch.arange(len(all_ZSAK), device=clip_B.device)[:, None] != clip_B)[:, None, :, None]
        shown_ZABP = (other_Z1B1 | (own is True)).expand(-1, count, -1, query_BKP.shape[2])
        if isinstance(own, Tensor):
            shown_ZABP = shown_ZABP.clone()
            shown_ZABP[clip_B, :, clip_B - first] = own
        if real_BA is not None:
            shown_ZABP = shown_ZABP & (gather_ranks(real_BA) if gather else real_BA)[:, :, None, None]
        shown_SNP = shown_ZABP.reshape(1, -1, query_1KP.shape[2]).repeat(sets, 1, 1)
        shown_SNP.scatter_(1, target_SP[:, None], True)
        scores_SNP = scores_SNP.masked_fill(~shown_SNP, -torch.inf)
    loss_SP = F.cross_entropy(scores_SNP, target_SP, reduction="none")
    return loss_SP.unflatten(1, (clips, -1)).transpose(0, 1)
