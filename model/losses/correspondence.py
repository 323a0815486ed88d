"""Correspondence losses on the matching keys (correspondence paper §3.2): of pixels (PCL) and of objects (OCL).

Both compare keys by `sim(a, b) = -|a - b|^2 / sqrt(K)`, in fp32 whatever the autocast state and the keys' dtype.
Pseudo-labels carry no gradient. Candidates that must not count get minus infinity.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from model.affinity import similarity
from model.losses.boxes import assign_rows, box_iou, roi_average
from model.losses.contrast import Candidates, Queries, contrast, take_positions
from model.network import ClipKeys
from util.comparison import Comparison

OVERLAP = 0.1  # IoU from which two boxes may be the same object
Negatives = Literal["intra", "inter", "both"]
_MORE_CLIPS = "expected at least two clips in a step"


def correspondence_weight(progress: float, alpha: float, ramp: tuple[float, float]) -> float:
    """Weight of the correspondence losses: 0 up to `ramp[0]`, then linearly up to `alpha` at `ramp[1]` (§3.3).

    Args:
        progress: share of the run that is done, in [0, 1].
        alpha: final weight; published: 0.2.
        ramp: shares of the run; if they are equal, the weight jumps there.
    """
    start, end = ramp
    if progress >= end:
        return alpha
    return alpha * (progress - start) / (end - start) if progress > start else 0.0


def pixel_loss(
    keys: ClipKeys,
    compared: Comparison,
    positions_BSA: Tensor,
    negatives: Negatives = "both",
    gather: bool = False,
) -> Tensor:
    """PCL: positions of t + 1 find the anchor that the same positions of t resemble most (Eq. 5-7).

    Args:
        keys: of the clips' frames at stride 16, and of the view of frame t (V = 1), at any size; without one, that set
            of anchors is left out. With shrinkage and selection, anchors are compared as memory and positions as
            queries of XMem.
        compared: frames of the clips, on the keys' device.
        positions_BSA: anchors, positions `y * X + x` in the anchor frame and, if it is given, the view.
        negatives: which anchors a position must be told from: of its own clip, of others, or both.
        gather: take negatives from the clips of all processes. Batch size and grid must be the same everywhere.

    Returns:
        Scalar, the mean over positions, sets of anchors and clips.

    Raises:
        ValueError: if other clips are needed and there are none, or if positions are missing.
    """
    sets = 1 if keys.view_key is None else 2
    if positions_BSA.shape[1] != sets:
        raise ValueError(
            f"expected positions of {sets} sets of anchors, with the view's if there is one, "
            f"received those of {positions_BSA.shape[1]}."
        )
    if negatives != "intra" and _clips_of_all(keys.key, gather) < 2:
        raise ValueError(
            f"the pixel-level loss with negatives '{negatives}' needs other clips, received one clip: {_MORE_CLIPS}, "
            "or negatives 'intra'."
        )
    pair_B, anchor_B = compared.pair_B, compared.anchor_B
    with torch.autocast(device_type=keys.key.device.type, enabled=False):
        now, after, anchor = _frames(keys.key, pair_B, pair_B + 1, anchor_B)
        maps = [anchor] if keys.view_key is None else [anchor, keys.view_key[:, 0].float()]
        anchors_BSAK = _take_sets(maps, positions_BSA)
        shrinkage_BSA1 = e_now = e_after = None
        if keys.shrinkage is not None:
            views = [] if keys.view_shrinkage is None else [keys.view_shrinkage[:, 0].float()]
            shrinkage_BSA1 = _take_sets([*_frames(keys.shrinkage, anchor_B), *views], positions_BSA)
        if keys.selection is not None:
            e_now, e_after = (x.flatten(2) for x in _frames(keys.selection, pair_B, pair_B + 1))
        count = anchors_BSAK.shape[2]
        own_BKN = anchors_BSAK.flatten(1, 2).transpose(1, 2)
        s_B1N = None if shrinkage_BSA1 is None else shrinkage_BSA1.flatten(1, 2).transpose(1, 2)
        with torch.no_grad():
            # The position's own norm is missing in these similarities, here and below: it is the same for all anchors.
            label_BSP = similarity(own_BKN, s_B1N, now.flatten(2), e_now).unflatten(1, (sets, count)).argmax(dim=2)
        if negatives == "intra":
            scores_BSAP = similarity(own_BKN, s_B1N, after.flatten(2), e_after).unflatten(1, (sets, count))
            loss_BSP = F.cross_entropy(scores_BSAP.transpose(1, 2), label_BSP, reduction="none")
        else:
            queries, candidates = Queries(after.flatten(2), e_after), Candidates(anchors_BSAK, shrinkage_BSA1)
            loss_BSP = contrast(queries, candidates, label_BSP, negatives == "both", gather)
        return loss_BSP.mean(dim=(1, 2)).mean()


def _take_sets(maps: Sequence[Tensor], positions_BSA: Tensor) -> Tensor:
    """Features [B,S,A,C] of a map for each set of positions."""
    return torch.stack([take_positions(x, positions_BSA[:, s]) for s, x in enumerate(maps)], dim=1)


def object_loss(
    key_BTKYX: Tensor, compared: Comparison, queries_BQ: Tensor, own_negatives: bool = False, gather: bool = False
) -> Tensor:
    """OCL: objects of frame t find their partner in the anchor frame among the objects of other clips (Eq. 8-11).

    Args:
        key_BTKYX: matching keys of the clips' frames at stride 16.
        compared: frames and boxes of the clips, on the keys' device.
        queries_BQ: drawn boxes of frame t, -1 where there are fewer than Q.
        own_negatives: objects of the clip are negatives, too, where they hardly overlap the query, if they are in its
            frame, or its partner, if they are in the partner's. It is ours: told from other videos alone, an object
            need only show which video it is in.
        gather: as in `pixel_loss`. The number of boxes must be the same everywhere, too.

    Returns:
        Scalar, the mean over the queries with a partner, then over clips; clips without any count zero.

    Raises:
        ValueError: if there are no other clips.
    """
    if _clips_of_all(key_BTKYX, gather) < 2:
        raise ValueError(
            f"the object-level loss tells objects from those of other clips, received one clip: {_MORE_CLIPS}."
        )
    with torch.autocast(device_type=key_BTKYX.device.type, enabled=False):
        # Enough boxes that every query could have one of its own.
        padded = compared.pad_boxes(max(compared.box_ids_B2N.shape[2], queries_BQ.shape[1]))
        ids_B2N = padded.box_ids_B2N
        keys_B2KYX = torch.stack(_frames(key_BTKYX, padded.pair_B, padded.anchor_B), dim=1)
        features_B2NK = roi_average(keys_B2KYX.flatten(0, 1), padded.boxes_B2N4.flatten(0, 1)).unflatten(0, (-1, 2))
        drawn_BQ = queries_BQ.clamp(min=0)
        query_BQK = features_B2NK[:, 0].gather(1, drawn_BQ[..., None].expand(-1, -1, features_B2NK.shape[-1]))
        query_ids_BQ = torch.where(queries_BQ >= 0, ids_B2N[:, 0].gather(1, drawn_BQ), -1)
        partner_BQ, found_BQ = match_objects(query_BQK, query_ids_BQ, features_B2NK[:, 1], ids_B2N[:, 1])

        # The clip's boxes of both frames in a row: those of the anchor frame come second.
        target_B1Q = (ids_B2N.shape[2] + partner_BQ)[:, None]
        candidates = Candidates(features_B2NK.flatten(1, 2)[:, None], real_BA=(ids_B2N >= 0).flatten(1))
        own = _apart(padded.boxes_B2N4, drawn_BQ, partner_BQ) if own_negatives else False
        loss_BQ = contrast(Queries(query_BQK.transpose(1, 2)), candidates, target_B1Q, own, gather)[:, 0]
        loss_B = torch.where(found_BQ, loss_BQ, 0.0).sum(dim=1) / found_BQ.sum(dim=1).clamp(min=1)
        return loss_B.mean()


def _apart(boxes_B2N4: Tensor, query_BQ: Tensor, partner_BQ: Tensor) -> Tensor:
    """Which boxes of both frames in a row [B,2N,Q] hardly overlap the query or its partner, in whose frame they are."""
    apart = []
    for boxes_BN4, own_BQ in zip(boxes_B2N4.unbind(dim=1), (query_BQ, partner_BQ), strict=True):
        own_BQ4 = boxes_BN4.gather(1, own_BQ[..., None].expand(-1, -1, 4))
        apart.append(box_iou(boxes_BN4, own_BQ4) < OVERLAP)
    return torch.cat(apart, dim=1)


def clips_without_objects(box_ids_B2N: Tensor) -> Tensor:
    """Count the clips in which no box of frame t can have a partner; int64."""
    first, anchor = box_ids_B2N.unbind(dim=1)
    same_BNN = (first[:, :, None] == anchor[:, None]) & (first >= 0)[:, :, None]
    return (~same_BNN.any(dim=(1, 2))).sum()


def _clips_of_all(key_BTKYX: Tensor, gather: bool) -> int:
    return len(key_BTKYX) * (dist.get_world_size() if gather and dist.is_initialized() else 1)


def _frames(key_BTKYX: Tensor, *frames_B: Tensor) -> tuple[Tensor, ...]:
    """Keys [B,K,Y,X] of some frames of each clip, in fp32."""
    frames_BF = torch.stack(frames_B, dim=1)
    clips_B1 = torch.arange(len(frames_BF), device=frames_BF.device)[:, None]
    return key_BTKYX[clips_B1, frames_BF].float().unbind(dim=1)


@torch.no_grad()
def match_objects(
    query_BQK: Tensor, query_ids_BQ: Tensor, anchor_BNK: Tensor, anchor_ids_BN: Tensor
) -> tuple[Tensor, Tensor]:
    """Find each query's partner in the anchor frame: annotated objects by identity, proposals by assignment (Eq. 9).

    Args:
        query_BQK: features of the queries.
        query_ids_BQ: their objects, 0 for a proposal, -1 for no query.
        anchor_BNK: features of the anchor frame's boxes, N >= Q.
        anchor_ids_BN: their objects, 0 for a proposal, -1 for padding.

    Returns:
        The partner of each query [B,Q], int64, and whether there is one [B,Q]; if there is none, it is 0.
    """
    same_BQN = (query_ids_BQ[:, :, None] == anchor_ids_BN[:, None]) & (query_ids_BQ > 0)[:, :, None]
    scores_BNQ = similarity(anchor_BNK.transpose(1, 2), None, query_BQK.transpose(1, 2), None)
    # With the query's own norm: where proposals are too few, it decides which query goes without.
    norm_BQ = query_BQK.float().square().sum(dim=2) / math.sqrt(query_BQK.shape[2])
    scores_BQN = (scores_BNQ - norm_BQ[:, None]).transpose(1, 2)
    scores_BQN = scores_BQN.masked_fill((anchor_ids_BN != 0)[:, None], -torch.inf)
    column_BQ, assigned_BQ = assign_rows(scores_BQN, query_ids_BQ == 0)
    known_BQ = same_BQN.any(dim=2)
    return torch.where(known_BQ, same_BQN.int().argmax(dim=2), column_BQ), known_BQ | assigned_BQ
