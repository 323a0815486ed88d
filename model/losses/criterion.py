"""The losses of a step: one function and one row of `LOSSES` for each.

The settings of its weight are fields of `LossConfig` or `CorrespondenceConfig` (`util.config.train`).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from model.losses.correspondence import clips_without_objects, correspondence_weight, object_loss, pixel_loss
from model.losses.draws import draw_compared
from model.losses.matching import matching_loss
from model.losses.released import FRAME_WEIGHT, TEMPORAL_WEIGHT, draw_released, released_losses, view_sources
from model.losses.segmentation import bootstrap_share, bootstrapped_cross_entropy, dice_loss
from model.network import ClipKeys
from util.comparison import Comparison
from util.config.train import TrainConfig
from util.device import upload


class LossInput(NamedTuple):
    """What the losses of a batch of clips are made of.

    Attributes:
        logits: the network's for the frames after the first, see `ClipOutput`. Where a loss is `joint`, it has the keys
            of the whole step's clips, and where these are computed in parts no logits, labels and `valid_BO`.
        keys: the network's, of all frames.
        labels_BTHW: true labels of all frames, on the network's device.
        valid_BO: False where an object only pads the batch; on the network's device.
        compared: what the correspondence losses compare, on the CPU, where they draw; None without them.
        config: the run.
        step: steps done.
    """

    logits: Tensor
    keys: ClipKeys
    labels_BTHW: Tensor
    valid_BO: Tensor
    compared: Comparison | None
    config: TrainConfig
    step: int


class Loss(NamedTuple):
    """A loss.

    Attributes:
        compute: it, unweighted, a scalar: a mean over clips.
        weight: of it in the total, from the run and the share of it that is done; where it is 0, the loss is not
            computed.
        joint: whether it compares clips with each other. Then it needs those of the whole step: if these are computed
            in parts, of all parts.
        of_views: whether it needs the clips' second views.
        counts: what goes with it, by name, and is worth a line of the log.
    """

    compute: Callable[[LossInput], Tensor]
    weight: Callable[[TrainConfig, float], float]
    joint: bool = False
    of_views: bool = False
    counts: Callable[[LossInput], dict[str, Tensor]] = lambda _: {}


def compute_losses(x: LossInput, weights: Mapping[str, float]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute the losses that have a weight in this step, unweighted, and their counts."""
    rows = {name: row for name, row in LOSSES.items() if weights[name]}
    counts: dict[str, Tensor] = {}
    for row in rows.values():
        counts |= row.counts(x)
    return {name: row.compute(x) for name, row in rows.items()}, counts


def loss_weights(config: TrainConfig, progress: float) -> dict[str, float]:
    """Return the weight of every loss when the share `progress`, in [0, 1], of the run is done."""
    return {name: row.weight(config, progress) for name, row in LOSSES.items()}


def total_loss(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum the losses with their weights (paper Eq. 12). Raises ValueError for one that no weight is known of."""
    unknown = sorted(set(losses) - set(weights))
    if unknown:
        known = ", ".join(weights)
        raise ValueError(f"loss {unknown[0]!r} has no weight: expected one of {known}; add a row to LOSSES.")
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def split_weights(weights: Mapping[str, float], parts: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the weights of the losses that each of a step's parts has for itself, and of those that need all parts.

    Those of the others are 0 in each. A single part is all there is.
    """
    alone = {name: 0.0 if LOSSES[name].joint and parts > 1 else weight for name, weight in weights.items()}
    return alone, {name: weight - alone[name] for name, weight in weights.items()}


def needs_views(weights: Mapping[str, float]) -> bool:
    """Return whether a loss with a weight needs the clips' second views."""
    return any(row.of_views and weights[name] > 0 for name, row in LOSSES.items())


def pixel_share(config: TrainConfig, step: int) -> float:
    """Return the share of the pixels that the cross-entropy counts at a step."""
    loss = config.loss
    return bootstrap_share(step, loss.bootstrap_start, loss.bootstrap_end, loss.bootstrap_share)


def _cross_entropy(x: LossInput) -> Tensor:
    return bootstrapped_cross_entropy(x.logits, x.labels_BTHW[:, 1:], x.valid_BO, pixel_share(x.config, x.step))


def _dice(x: LossInput) -> Tensor:
    labels_BTHW = x.labels_BTHW[:, 1:]
    return dice_loss(x.logits, labels_BTHW, x.config.clip.max_objects, x.config.loss.dice_background)


def _matching(x: LossInput) -> Tensor:
    return matching_loss(x.keys, x.labels_BTHW, x.valid_BO.shape[1])


def _pcl(x: LossInput) -> Tensor:
    keys, wanted = x.keys, x.config.correspondence
    positions_BSA, compared = upload(_draw(x)[0], keys.key.device), _compared(x).to(keys.key.device)
    if wanted.pcl_similarity == "l2":
        keys = keys._replace(shrinkage=None, selection=None, view_shrinkage=None)
    return pixel_loss(keys, compared, positions_BSA, wanted.pcl_negatives, wanted.gather_negatives)


def _ocl(x: LossInput) -> Tensor:
    key, wanted = x.keys.key, x.config.correspondence
    queries_BQ, compared = upload(_draw(x)[1], key.device), _compared(x).to(key.device)
    return object_loss(key, compared, queries_BQ, wanted.own_negatives, wanted.gather_negatives)


def _object_counts(x: LossInput) -> dict[str, Tensor]:
    ids_B2N = upload(_compared(x).box_ids_B2N, x.keys.key.device)
    return {"clips_without_objects": clips_without_objects(ids_B2N)}


def _pcl_released(x: LossInput) -> Tensor:
    """Join both terms of the released loss, so that the usual alpha gives them their published weights."""
    compared, key, view_key = _compared(x), x.keys.head_key, x.keys.view_key
    assert key is not None and view_key is not None, "the released loss acts on an extra key head"
    anchors_BA, points_BR = draw_released(compared.seeds, _grid(key), _grid(view_key))
    sources_BTP = view_sources(compared.view_matrices_BV33, _grid(key), _grid(view_key))
    anchors_BA, points_BR, sources_BTP = (upload(x, key.device) for x in (anchors_BA, points_BR, sources_BTP))
    gather = x.config.correspondence.gather_negatives
    losses = released_losses(key, view_key, anchors_BA, points_BR, sources_BTP, gather)
    return losses["temporal"] + FRAME_WEIGHT / TEMPORAL_WEIGHT * losses["frame"]


def _draw(x: LossInput) -> tuple[Tensor, Tensor]:
    """Draw positions and queries together, whichever of them a loss is after: they come from one generator."""
    keys, wanted = x.keys, x.config.correspondence
    view_grid = None if keys.view_key is None else _grid(keys.view_key)
    return draw_compared(_compared(x), _grid(keys.key), view_grid, wanted.pcl_anchors, wanted.annotated_first)


def _compared(x: LossInput) -> Comparison:
    assert x.compared is not None, "a run with correspondence losses draws its clips for them"
    return x.compared


def _grid(key_BTKYX: Tensor) -> tuple[int, int]:
    return key_BTKYX.shape[-2], key_BTKYX.shape[-1]


def _pixel_weight(config: TrainConfig, progress: float, variant: str) -> float:
    wanted = config.correspondence
    return _alpha(config, progress) * (wanted.pcl and wanted.pcl_variant == variant)


def _object_weight(config: TrainConfig, progress: float) -> float:
    wanted = config.correspondence
    return _alpha(config, progress) * wanted.beta * wanted.ocl


def _alpha(config: TrainConfig, progress: float) -> float:
    return correspondence_weight(progress, config.correspondence.alpha, config.correspondence.ramp)


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(_cross_entropy, lambda config, progress: 1.0),
    "dice": Loss(_dice, lambda config, progress: config.loss.dice),
    "mask_matching": Loss(_matching, lambda config, progress: config.loss.mask_matching),
    "pcl": Loss(_pcl, lambda config, progress: _pixel_weight(config, progress, "paper"), joint=True, of_views=True),
    "pcl_released": Loss(
        _pcl_released, lambda config, progress: _pixel_weight(config, progress, "released"), joint=True, of_views=True
    ),
    "ocl": Loss(_ocl, _object_weight, joint=True, counts=_object_counts),
}
