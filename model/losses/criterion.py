"""All losses of a step: of the segmentation, and of the correspondence where it has a weight."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from model.losses.correspondence import correspondence_losses, correspondence_weight, draw_pair_plan
from model.losses.released import FRAME_WEIGHT, TEMPORAL_WEIGHT, draw_released_plan, released_losses
from model.losses.segmentation import bootstrap_share, segmentation_losses
from model.spacetime.unroll import ClipOutput
from util.config.train import CorrespondenceConfig, TrainConfig


class PairedClips(Protocol):
    """What the correspondence losses need; `dataset.clip.PairedBatch` says what is what."""

    @property
    def pair_B(self) -> Tensor:  # noqa: D102
        ...

    @property
    def anchor_B(self) -> Tensor:  # noqa: D102
        ...

    @property
    def views_BV3HW(self) -> Tensor:  # noqa: D102
        ...

    @property
    def view_matrices_BV33(self) -> Tensor:  # noqa: D102
        ...

    @property
    def boxes_B2N4(self) -> Tensor:  # noqa: D102
        ...

    @property
    def box_ids_B2N(self) -> Tensor:  # noqa: D102
        ...


class Clips(Protocol):
    """What the losses need of a batch; `dataset.clip.ClipBatch` says what is what."""

    @property
    def labels_BTHW(self) -> Tensor:  # noqa: D102
        ...

    @property
    def valid_BO(self) -> Tensor:  # noqa: D102
        ...

    @property
    def matrices_BT33(self) -> Tensor:  # noqa: D102
        ...

    @property
    def seeds(self) -> tuple[int, ...]:  # noqa: D102
        ...

    @property
    def paired(self) -> PairedClips | None:  # noqa: D102
        ...


def loss_weights(config: TrainConfig, progress: float) -> dict[str, float]:
    """Return the weights of the terms at a share of the run (paper Eq. 12); the cross-entropy's is 1."""
    wanted = config.correspondence
    alpha = correspondence_weight(progress, wanted.alpha, wanted.ramp)
    return {"dice": config.loss.dice, "pcl": alpha * wanted.pcl, "ocl": alpha * wanted.beta * wanted.ocl}


def pixel_share(config: TrainConfig, step: int) -> float:
    """Return the share of the pixels that the cross-entropy counts at a step."""
    loss = config.loss
    return bootstrap_share(step, loss.bootstrap_start, loss.bootstrap_end, loss.bootstrap_share)


def clip_losses(
    output: ClipOutput, clips: Clips, config: TrainConfig, weights: Mapping[str, float], step: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute the named, unweighted losses of a batch of clips.

    Args:
        output: what the network made of the clips.
        clips: the clips, on the CPU: what the correspondence losses compare is drawn there.
        config: the run.
        weights: of the terms in this step; one of weight zero is not computed.
        step: steps done.

    Returns:
        The losses, and counts that are worth a line of the log.
    """
    device = output.logits.device
    losses = segmentation_losses(
        output.logits,
        clips.labels_BTHW[:, 1:].to(device, non_blocking=True),
        clips.valid_BO.to(device, non_blocking=True),
        share=pixel_share(config, step),
        slots=config.clip.max_objects,
        dice=weights["dice"] > 0,
        dice_background=config.loss.dice_background,
    )
    if not (weights["pcl"] or weights["ocl"]):
        return losses, {}
    assert clips.paired is not None, "a run with correspondence losses draws its clips for them"
    if output.head_key is not None:
        return losses | {"pcl": _released_loss(output, clips, clips.paired, config.correspondence)}, {}
    found = _pair_losses(output, clips, clips.paired, config.correspondence, weights)
    counts = {name: value for name, value in found.items() if name not in weights}
    return losses | {name: value for name, value in found.items() if name in weights}, counts


def _pair_losses(
    output: ClipOutput,
    clips: Clips,
    paired: PairedClips,
    wanted: CorrespondenceConfig,
    weights: Mapping[str, float],
) -> dict[str, Tensor]:
    plan = draw_pair_plan(
        clips.seeds,
        paired.pair_B,
        paired.anchor_B,
        paired.boxes_B2N4,
        paired.box_ids_B2N,
        grid=_grid(output.key),
        view_grid=None if output.view_key is None else _grid(output.view_key),
    )
    return correspondence_losses(
        output.key,
        output.view_key,
        plan.to(output.key.device),
        negatives=wanted.pcl_negatives,
        with_pcl=weights["pcl"] > 0,
        with_ocl=weights["ocl"] > 0,
        gather=wanted.gather_negatives,
    )


def _released_loss(output: ClipOutput, clips: Clips, paired: PairedClips, wanted: CorrespondenceConfig) -> Tensor:
    """Join both terms of the released loss, so that the usual alpha gives them their published weights."""
    assert output.head_key is not None and output.view_key is not None
    # Frame to view; both matrices start at the original picture.
    matrices = paired.view_matrices_BV33.double() @ clips.matrices_BT33.double().inverse()
    plan = draw_released_plan(clips.seeds, matrices, _grid(output.head_key), _grid(output.view_key))
    losses = released_losses(
        output.head_key, output.view_key, plan.to(output.head_key.device), gather=wanted.gather_negatives
    )
    return losses["temporal"] + FRAME_WEIGHT / TEMPORAL_WEIGHT * losses["frame"]


def _grid(key_BTKYX: Tensor) -> tuple[int, int]:
    return key_BTKYX.shape[-2], key_BTKYX.shape[-1]
