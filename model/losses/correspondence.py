"""Correspondence losses on the matching keys (correspondence paper §3.2): of pixels (PCL) and of objects (OCL).

Both compare keys by `sim(a, b) = -|a - b|^2 / sqrt(K)`, in fp32 whatever the autocast state and the keys' dtype.
Pseudo-labels carry no gradient. Candidates that must not count get minus infinity.
"""

import math
from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from model.affinity import similarity
from model.losses.boxes import assign_rows, roi_average
from model.losses.contrast import contrast, take_positions
from model.losses.draws import PairPlan, draw_pair_plan
from util.parallel.distributed import largest

__all__ = ["PairPlan", "correspondence_losses", "correspondence_weight", "draw_pair_plan"]

Negatives = Literal["intra", "inter", "both"]


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


def correspondence_losses(
    key_BTKYX: Tensor,
    view_key_BVKYX: Tensor | None,
    plan: PairPlan,
    negatives: Negatives = "both",
    with_pcl: bool = True,
    with_ocl: bool = True,
    gather: bool = False,
    valid_B: Tensor | None = None,
) -> dict[str, Tensor]:
    """Pixel-level and object-level correspondence losses of a batch of clips.

    Args:
        key_BTKYX: matching keys of the clips' frames at stride 16.
        view_key_BVKYX: keys of the view of frame t (V = 1), at any size; None leaves that set of anchors out.
        plan: what was drawn, on the keys' device; its positions are those of the anchor frame and, if given, the view.
        negatives: which anchors a position must be told from in the pixel-level loss: of its own clip, of others, or
            both.
        with_pcl: compute the pixel-level loss.
        with_ocl: compute the object-level loss.
        gather: take negatives from the clips of all processes. Batch size and grid must be the same everywhere.
        valid_B: False for clips that only pad the batch: they are in no mean and nobody's negatives.

    Returns:
        Unweighted scalars, means over clips: "pcl" and "ocl", if asked for. With "ocl" also "clips_without_objects",
        the number of this batch's clips in which no box found a partner; they count zero in the mean.

    Raises:
        ValueError: if a loss needs other clips and there are none, or if the plan lacks the view's positions.
    """
    clips, device = len(key_BTKYX), key_BTKYX.device
    everyone = clips * (dist.get_world_size() if gather and dist.is_initialized() else 1)
    if everyone < 2:
        _refuse_one_clip(with_pcl, negatives, with_ocl)
    anchor_sets = 1 if view_key_BVKYX is None else 2
    if with_pcl and plan.positions_BSA.shape[1] < anchor_sets:
        raise ValueError("the plan holds no positions of the view: expected draw_pair_plan(..., view_grid=(Y, X)).")
    losses: dict[str, Tensor] = {}
    with torch.autocast(device_type=device.type, enabled=False):
        now, after, anchor = _frames(key_BTKYX, plan, valid_B)
        if with_pcl:
            anchors = [take_positions(anchor, plan.positions_BSA[:, 0])]
            if view_key_BVKYX is not None:
                view = _without_padding(view_key_BVKYX[:, 0].float(), valid_B)
                anchors.append(take_positions(view, plan.positions_BSA[:, 1]))
            anchors_BSAK = torch.stack(anchors, dim=1)
            losses["pcl"] = _pixel_loss(now.flatten(2), after.flatten(2), anchors_BSAK, negatives, gather, valid_B)
        if with_ocl:
            loss, without = _object_loss(torch.stack([now, anchor], dim=1), plan, gather, valid_B)
            losses |= {"ocl": loss, "clips_without_objects": without}
    return losses


def _refuse_one_clip(with_pcl: bool, negatives: Negatives, with_ocl: bool) -> None:
    remedy = "expected at least two clips per batch, or --gather_negatives with several processes"
    if with_ocl:
        raise ValueError(f"the object-level loss tells objects from those of other clips, received one clip: {remedy}.")
    if with_pcl and negatives != "intra":
        raise ValueError(
            f"the pixel-level loss with negatives '{negatives}' needs other clips, received one clip: {remedy}, "
            "or negatives 'intra'."
        )


def _frames(key_BTKYX: Tensor, plan: PairPlan, valid_B: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Keys [B,K,Y,X] of frame t, of t + 1 and of the anchor frame, in fp32; zero for clips that only pad."""
    frames_B3 = torch.stack([plan.pair_B, plan.pair_B + 1, plan.anchor_B], dim=1)
    clips_B1 = torch.arange(len(frames_B3), device=frames_B3.device)[:, None]
    now, after, anchor = _without_padding(key_BTKYX[clips_B1, frames_B3].float(), valid_B).unbind(dim=1)
    return now, after, anchor


def _without_padding(x: Tensor, valid_B: Tensor | None) -> Tensor:
    # Zero times what is not finite would reach other clips' gradients through a matrix product.
    return x if valid_B is None else torch.where(valid_B.view(-1, *[1] * (x.ndim - 1)), x, 0.0)


def _mean_over_clips(loss_B: Tensor, valid_B: Tensor | None) -> Tensor:
    if valid_B is None:
        return loss_B.mean()
    return torch.where(valid_B, loss_B, 0.0).sum() / valid_B.sum().clamp(min=1)


def _pixel_loss(
    now_BKP: Tensor,
    after_BKP: Tensor,
    anchors_BSAK: Tensor,
    negatives: Negatives,
    gather: bool,
    valid_B: Tensor | None,
) -> Tensor:
    """PCL: positions of t + 1 find the anchor that the same positions of t resemble most (Eq. 5-7)."""
    own_BKN = anchors_BSAK.flatten(1, 2).transpose(1, 2)
    sets, count = anchors_BSAK.shape[1:3]
    with torch.no_grad():
        # The position's own norm is missing in these similarities, here and below: it is the same for all anchors.
        label_BSP = similarity(own_BKN, None, now_BKP, None).unflatten(1, (sets, count)).argmax(dim=2)
    if negatives == "intra":
        scores_BSAP = similarity(own_BKN, None, after_BKP, None).unflatten(1, (sets, count))
        loss_BSP = F.cross_entropy(scores_BSAP.transpose(1, 2), label_BSP, reduction="none")
    else:
        real_BA = None if valid_B is None else valid_B[:, None].expand(-1, count)
        loss_BSP = contrast(after_BKP, anchors_BSAK, label_BSP, real_BA, negatives == "both", gather)
    return _mean_over_clips(loss_BSP.mean(dim=(1, 2)), valid_B)


def _object_loss(keys_B2KYX: Tensor, plan: PairPlan, gather: bool, valid_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """OCL: objects of frame t find their partner in the anchor frame among the objects of other clips (Eq. 8-11).

    Returns:
        The loss and the number of clips in which no object has a partner.
    """
    count, queries = plan.boxes_B2N4.shape[2], plan.queries_BQ.shape[1]
    # As many boxes on every rank, and enough that every query could have one of its own.
    missing = max(int(largest([count])[0]) if gather else count, queries) - count
    boxes_B2N4 = F.pad(plan.boxes_B2N4, (0, 0, 0, missing))
    ids_B2N = F.pad(plan.box_ids_B2N, (0, missing), value=-1)
    features_B2NK = roi_average(keys_B2KYX.flatten(0, 1), boxes_B2N4.flatten(0, 1)).unflatten(0, (-1, 2))
    drawn_BQ = plan.queries_BQ.clamp(min=0)
    query_BQK = features_B2NK[:, 0].gather(1, drawn_BQ[..., None].expand(-1, -1, features_B2NK.shape[-1]))
    query_ids_BQ = torch.where(plan.queries_BQ >= 0, ids_B2N[:, 0].gather(1, drawn_BQ), -1)
    partner_BQ, found_BQ = match_objects(query_BQK, query_ids_BQ, features_B2NK[:, 1], ids_B2N[:, 1])

    real_BN = (ids_B2N >= 0).flatten(1)
    if valid_B is not None:
        real_BN, found_BQ = real_BN & valid_B[:, None], found_BQ & valid_B[:, None]
    # The clip's boxes of both frames in a row: those of the anchor frame come second.
    target_B1Q = (ids_B2N.shape[2] + partner_BQ)[:, None]
    candidates_B1NK = features_B2NK.flatten(1, 2)[:, None]
    loss_BQ = contrast(query_BQK.transpose(1, 2), candidates_B1NK, target_B1Q, real_BN, False, gather)[:, 0]
    loss_B = torch.where(found_BQ, loss_BQ, 0.0).sum(dim=1) / found_BQ.sum(dim=1).clamp(min=1)
    without_B = ~found_BQ.any(dim=1)
    return _mean_over_clips(loss_B, valid_B), (without_B if valid_B is None else without_B & valid_B).sum()


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
