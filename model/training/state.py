"""Everything that a training run changes, in one state that is built, saved and restored."""

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.box import checkpoint_path
from model.build import REFERENCE_NETWORKS, build_model
from model.layers.batch_norm import freeze_batch_norm, synchronise_batch_norm
from model.pretrained import has_imagenet_weights, load_imagenet
from model.spacetime.network import MatchingNetwork
from model.spacetime.unroll import ClipNetwork
from model.training.optim import RunningMean, build_optimizer
from model.twoframe.network import ReferenceNetwork
from model.twoframe.unroll import ReferenceClipNetwork
from model.weights import FORMAT, VERSION, load_weights
from util.config.plain import plain
from util.config.train import TrainConfig
from util.device import resolve_precision
from util.files.checkpoint import read_checkpoint
from util.parallel import distributed

logger = logging.getLogger(__name__)


@dataclass
class TrainState:
    """All that a run changes.

    Attributes:
        network: unrolls clips; its `network` is what gets trained.
        parallel: what to call: `network`, or DDP around it.
        optimizer: over all its parameters.
        scaler: of the loss in fp16; does nothing otherwise.
        mean: running mean of the weights, if the run keeps one.
        step: steps done in this stage.
        seconds: spent in training it so far.
        best: highest validation J&F; below 0 before the first.
    """

    network: ClipNetwork | ReferenceClipNetwork
    parallel: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    mean: RunningMean | None
    step: int = 0
    seconds: float = 0.0
    best: float = -1.0

    @property
    def model(self) -> MatchingNetwork | ReferenceNetwork:
        """The network that gets trained, without what is around it."""
        return self.network.network

    def progress(self, config: TrainConfig) -> float:
        """Return the share of the stage that is over, of its steps or of its time, whichever ends it first."""
        return progress(config, self.step, self.seconds)

    def reducing(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a backward pass: processes share gradients in the last of a step's parts only."""
        if last or not isinstance(self.parallel, DistributedDataParallel):
            return nullcontext()
        return self.parallel.no_sync()  # type: ignore[return-value]


def progress(config: TrainConfig, step: int, seconds: float) -> float:
    """Return the share of a stage that is over after so many steps and seconds."""
    by_time = seconds / (60 * config.max_minutes) if config.max_minutes > 0 else 0.0
    return max(step / config.iterations, by_time)


def build_state(config: TrainConfig, device: torch.device, saved: Mapping[str, Any] | None = None) -> TrainState:
    """Build the state of a stage at its start, or, with `saved`, at the step of that checkpoint.

    Raises:
        ValueError: ImageNet weights cannot be had, or a checkpoint is of another network or a later stage.
        FileNotFoundError: there is no such --checkpoint.
    """
    torch.manual_seed(config.seed)
    reference = config.model in REFERENCE_NETWORKS
    model = build_model(
        config.model, config.size, **({} if reference else {"mask_channels": 2 - (config.stage == "0")})
    )
    if config.correspondence.released and isinstance(model, MatchingNetwork):
        model.add_key_head()
    origin = "its own checkpoint" if saved is not None else load_start(model, config)
    frozen = keeps_statistics(config)
    network = wrap_for_clips(model, config, batch_norm_trains=not frozen)
    lay_out(network, device)
    network.train()
    if freezes_encoder(config):
        freeze_batch_norm(image_encoder(model).requires_grad_(False))
    if frozen:
        freeze_batch_norm(network)
    else:
        if config.accumulate > 1:
            logger.warning("BatchNorm trains: its statistics are those of each of the %d parts", config.accumulate)
        if dist.is_initialized():
            synchronise_batch_norm(network)
    if config.compile:
        for part in parts_to_compile(model):
            part.compile()  # type: ignore[operator]
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    logger.info(
        "%s %s, stage %s, from %s: %.1f M parameters%s, BatchNorm %s, on %d x %s",
        config.model,
        config.size,
        config.stage,
        origin,
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        " (those of the image encoder stay)" if freezes_encoder(config) else "",
        "keeps its statistics" if frozen else "trains",
        distributed.world_size(),
        device.type,
    )
    state = TrainState(
        network=network,
        parallel=_parallel(network, config),
        optimizer=build_optimizer(trained, config.optim),
        scaler=torch.amp.GradScaler(device.type, enabled=resolve_precision(device, config.precision) == "fp16"),
        mean=RunningMean(model, config.optim.ema) if config.optim.ema else None,  # of the weights that all share now
    )
    if saved is not None:
        restore(state, saved, config)
    return state


def lay_out(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device, its weights in the memory layouts that train fastest there.

    Pictures come channels-last, which suits convolutions on CPUs and, in half precision, on GPUs. But a CPU's weight
    gradients come channels-first: to turn them round is slow where the weights are large and the features small.
    """
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        for name, module in network.named_modules():
            if re.search(r"(^|\.)(key_proj2?|key_comp|fuser|compress)$", name):
                module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def wrap_for_clips(
    model: MatchingNetwork | ReferenceNetwork, config: TrainConfig, batch_norm_trains: bool
) -> ClipNetwork | ReferenceClipNetwork:
    """Return what unrolls a network over clips."""
    if isinstance(model, ReferenceNetwork):
        return ReferenceClipNetwork(model)
    clip = config.clip
    bijective_k = clip.bijective_k if clip.matching == "bijective" else 0
    return ClipNetwork(model, clip.memory_frames, clip.deep_update, batch_norm_trains, bijective_k)


def image_encoder(model: MatchingNetwork | ReferenceNetwork) -> nn.Module:
    """Return what makes features of an image alone."""
    return model.vos.encoder if isinstance(model, ReferenceNetwork) else model.key_encoder


def parts_to_compile(model: MatchingNetwork | ReferenceNetwork) -> Sequence[nn.Module]:
    """Return the parts of a network that are worth compiling."""
    if isinstance(model, ReferenceNetwork):
        return model.vos.encoder, model.vos.decoder
    return model.key_encoder, model.value_encoder, model.decoder  # type: ignore[return-value]


def freezes_encoder(config: TrainConfig) -> bool:
    """Return whether the image encoder gets no gradient; by itself EMVOS's, where it is one worth keeping."""
    if config.freeze_encoder != "auto":
        return config.freeze_encoder == "yes"
    return config.model == "emvos" and config.pretrained and has_imagenet_weights(config.size)


def load_start(model: MatchingNetwork | ReferenceNetwork, config: TrainConfig) -> str:
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
    if not (config.pretrained and has_imagenet_weights(config.size)):
        return "random weights"
    fault = None
    if distributed.is_main():  # one process downloads, the others get them from it
        try:
            load_imagenet(model, config.imagenet_weights)
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
    return config.checkpoint is not None or (config.pretrained and has_imagenet_weights(config.size))


def payload(state: TrainState, config: TrainConfig) -> dict[str, Any]:
    """Return what a checkpoint holds: the whole state, in plain tensors and numbers.

    The generators' states are one process's: clips and what networks draw for them come from the clips' own seeds.
    """
    device = next(state.network.parameters()).device
    return {
        **weights_payload(state, config),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "ema_updates": state.mean.updates if state.mean is not None else 0,
        "seconds": state.seconds,
        "best": state.best,
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def weights_payload(state: TrainState, config: TrainConfig) -> dict[str, Any]:
    """Return what a checkpoint without a way to go on holds."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": state.model.state_dict(),
        **({"ema": state.mean.weights} if state.mean is not None else {}),
        "step": state.step,
        "stage": config.stage,
        "config": plain(config),
    }


def restore(state: TrainState, saved: Mapping[str, Any], config: TrainConfig) -> None:
    """Put a state where a checkpoint's was, bit for bit.

    Raises ValueError if it is of another stage or network, or has no state but weights.
    """
    source = f"the checkpoint in {config.folder()}"
    if saved.get("stage") != config.stage:
        raise ValueError(f"{source} is of stage {saved.get('stage')}, expected stage {config.stage} to go on with.")
    if "optimizer" not in saved:
        raise ValueError(f"{source} holds weights only: start another run with --checkpoint instead of --resume.")
    load_weights(state.model, saved["network"], source)
    state.optimizer.load_state_dict(saved["optimizer"])
    if saved["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(saved["scaler"])
    if state.mean is not None and "ema" in saved:
        for name, value in saved["ema"].items():
            state.mean.weights[name].copy_(value)
        state.mean.updates = saved["ema_updates"]
    state.step, state.seconds, state.best = saved["step"], saved["seconds"], saved["best"]
    torch.set_rng_state(saved["rng"])
    device = next(state.network.parameters()).device
    if device.type == "cuda" and saved["cuda_rng"] is not None:
        torch.cuda.set_rng_state(saved["cuda_rng"], device)


def _parallel(network: ClipNetwork | ReferenceClipNetwork, config: TrainConfig) -> nn.Module:
    if not dist.is_initialized():
        return network
    return DistributedDataParallel(
        network,
        broadcast_buffers=False,  # BatchNorm's statistics are frozen or synchronised
        gradient_as_bucket_view=True,
        # In clips of two frames nothing reads what XMem's decoder remembers; the extra key head has no part in a step
        # whose loss has no weight yet.
        find_unused_parameters=config.clip.frames < 3 or config.correspondence.released,
    )
