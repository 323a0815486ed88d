"""Where a training run starts or goes on: at which stage, and with which state."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.box import checkpoint_path
from model.build import NETWORKS, build_model, find_network
from model.fast.compiled_training import compile_part
from model.fast.layout import lay_out
from model.fast.twin import for_training
from model.layers.batch_norm import freeze_batch_norm, synchronise_batch_norm
from model.network import VOSNetwork
from model.pretrained import ImageNetWeights, load_imagenet
from model.training.optim import RunningMean, build_optimizer
from model.training.state import TrainState, progress, restore
from model.weights import FORMAT, load_weights
from util.config.plan import RunPlan
from util.config.train import TrainConfig
from util.device import resolve_precision
from util.files.checkpoint import read_checkpoint
from util.parallel import distributed
from util.run.due import owes_validation
from util.run.folder import read_newest

logger = logging.getLogger(__name__)


def find_start(plan: RunPlan) -> tuple[int, Mapping[str, Any] | None]:
    """Return the stage to begin with and, where it has begun already, its newest checkpoint.

    Raises ValueError when the run is over, and with --resume auto, which a job that starts again has, SystemExit.
    """
    if not plan.resumed:
        return 0, None
    for change in plan.changed:
        logger.warning("resumed with another setting: %s", change)
    for number in reversed(range(len(plan.stages))):
        newest = read_newest(plan.stages[number].folder())
        if newest is None:
            continue
        path, saved = newest
        if not is_over(plan.stages[number], saved):
            logger.info("resuming from %s", path)
            return number, saved
        if number + 1 < len(plan.stages):
            return number + 1, None
        message = f"the run in {plan.folder} is over ({path}): to go on, give it more --iterations."
        if not plan.automatic:
            raise ValueError(message)
        logger.info(message)
        raise SystemExit(0)
    return 0, None


def is_over(config: TrainConfig, saved: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint is the last of its stage, and judged where that is wanted."""
    step = saved["step"]
    over = progress(config, step, saved.get("seconds", 0.0)) >= 1
    return over and not owes_validation(config, step, over, saved.get("validated", step))


def build_state(config: TrainConfig, device: torch.device, saved: Mapping[str, Any] | None = None) -> TrainState:
    """Build the state of a stage at its start, or, with `saved`, at the step of that checkpoint.

    Raises:
        ValueError: ImageNet weights cannot be had, or a checkpoint is of another network or a later stage.
        FileNotFoundError: there is no such --checkpoint.
    """
    torch.manual_seed(config.seed)
    model = new_model(config)
    origin = "its own checkpoint" if saved is not None else load_start(model, config)
    frozen = keeps_statistics(config)
    lay_out(model, device)
    network = find_network(config.model).family.unroll(model, config.clip, not frozen, config.compile)
    network.train()
    for module in frozen_parts(model, config):
        freeze_batch_norm(module.requires_grad_(False))
    if frozen:
        freeze_batch_norm(network)
    else:
        if config.accumulate > 1:
            logger.warning("BatchNorm trains: its statistics are those of each of the %d parts", config.accumulate)
        if distributed.is_joined():
            synchronise_batch_norm(network)
    network = for_training(network)
    if config.compile:
        for part in find_network(config.model).family.compiled:
            compile_part(network.get_submodule(f"network.{part}"))
    _report(model, config, device, origin)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    state = TrainState(
        model=model,
        network=network,
        parallel=_parallel(network, config),
        optimizer=build_optimizer(trained, config.optim, find_network(config.model).family.encoders),
        scaler=torch.amp.GradScaler(device.type, enabled=resolve_precision(device, config.precision) == "fp16"),
        mean=RunningMean(model, config.optim.ema) if config.optim.ema else None,  # of the weights that all share now
    )
    if saved is not None:
        restore(state, saved, config)
    return state


def new_model(config: TrainConfig) -> VOSNetwork:
    """Build a run's network with fresh weights, and the extra key head if its losses need it."""
    sizes = find_network(config.model).family.sizes.get(config.size, {})
    masks = {"mask_channels": 1} if config.stage == "0" and "mask_channels" in sizes else {}
    model = build_model(config.model, config.size, **masks)
    if config.correspondence.released:
        check_network(config)
        model.add_key_head()  # type: ignore[operator]
    return model


def check_network(config: TrainConfig) -> None:
    """Raise ValueError for a network that does not exist or lacks what the run's losses need."""
    if config.correspondence.released and not find_network(config.model).key_head:
        able = " or ".join(name for name, row in NETWORKS.items() if row.key_head)
        raise ValueError(f"--pcl_variant released: {config.model} has none; expected {able}, or paper.")


def image_encoder(model: VOSNetwork) -> nn.Module:
    """Return what makes features of an image alone."""
    return model.get_submodule(find_network(model.config.name).family.image_encoder)


def freezes_encoder(config: TrainConfig) -> bool:
    """Return whether the image encoder gets no gradient; by itself EMVOS's, where it is one worth keeping."""
    if config.freeze_encoder != "auto":
        return config.freeze_encoder == "yes"
    return find_network(config.model).keeps_encoder and bool(imagenet_weights(config))


def frozen_parts(model: VOSNetwork, config: TrainConfig) -> list[nn.Module]:
    """Return the modules of the image encoder that get no gradient; fresh ones would keep their first weights."""
    encoder = image_encoder(model)
    if config.freeze_encoder == "early":
        early = find_network(config.model).family.early_layers if starts_trained(config) else ()
        return [encoder.get_submodule(name) for name in early]
    return [encoder] if freezes_encoder(config) else []


def imagenet_weights(config: TrainConfig) -> Mapping[str, ImageNetWeights]:
    """Return the ImageNet weights that a run can start from, by module; none for `tiny` or with --no_pretrained."""
    return find_network(config.model).family.pretrained.get(config.size, {}) if config.pretrained else {}


def starts_trained(config: TrainConfig) -> bool:
    """Return whether the encoders start from weights that were trained: a checkpoint's, or ImageNet's."""
    return config.checkpoint is not None or bool(imagenet_weights(config))


def load_start(model: VOSNetwork, config: TrainConfig) -> str:
    """Load the weights that a stage starts from, and say which: --checkpoint's, ImageNet's, or none."""
    if config.checkpoint is not None:
        source = f"checkpoint {config.checkpoint}"
        saved = read_checkpoint(checkpoint_path(config.checkpoint))
        if saved.get("format") == FORMAT and saved.get("stage", "") > config.stage:
            raise ValueError(
                f"{source} is of stage {saved['stage']}, stage {config.stage} comes before it: stages build on each "
                f"other in ascending order. Choose --stage {saved['stage']} or another checkpoint."
            )
        load_weights(model, saved, source)
        return source
    wanted = imagenet_weights(config)
    if not wanted:
        return "random weights"
    fault = None
    if distributed.is_main():  # one process downloads, the others get them from it
        try:
            load_imagenet(model, wanted, config.imagenet_weights)
        except ValueError as error:
            fault = str(error)
    fault = distributed.broadcast_object(fault)
    if fault is not None:
        raise ValueError(fault)
    distributed.broadcast_tensors(model.state_dict().values())
    return "ImageNet weights"


def keeps_statistics(config: TrainConfig) -> bool:
    """Return whether BatchNorm keeps its statistics; by itself where it starts from statistics worth keeping."""
    if config.freeze_bn != "auto":
        return config.freeze_bn == "yes"
    return starts_trained(config)


def _report(model: VOSNetwork, config: TrainConfig, device: torch.device, origin: str) -> None:
    logger.info(
        "%s %s, stage %s, from %s: %.1f M parameters%s, BatchNorm %s, on %d x %s",
        config.model,
        config.size,
        config.stage,
        origin,
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        " (those of the image encoder stay)"
        if freezes_encoder(config)
        else " (those of the image encoder's first layers stay)"
        if frozen_parts(model, config)
        else "",
        "keeps its statistics" if keeps_statistics(config) else "trains",
        distributed.world_size(),
        device.type,
    )


def _parallel(network: nn.Module, config: TrainConfig) -> nn.Module:
    if not distributed.is_joined():
        return network
    known = inspect.signature(DistributedDataParallel).parameters
    sync_buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # to PyTorch 2.12
    return DistributedDataParallel(
        network,
        **{sync_buffers: False},  # type: ignore[arg-type]  # BatchNorm's statistics are frozen or synchronised
        gradient_as_bucket_view=True,  # gradients are not copied before processes share them
        # The graph of a step is not static: which clips' values are encoded and refreshed is drawn.
        # In clips of two frames nothing reads what XMem's decoder remembers; the extra key head has no part in a step
        # whose loss has no weight yet.
        find_unused_parameters=config.clip.frames < 3 or config.correspondence.released,
    )
