"""Train a network: `python train.py --model xmem --size tiny --stage 2 --dataset sample`."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dataset.build import build_loader
from dataset.clip import ClipBatch
from model import build_model
from model.clip import ClipNetwork
from model.losses import bootstrap_share, mean_iou, segmentation_losses, total_loss
from model.weights import FORMAT, VERSION, load_weights
from util import cli
from util.checkpoint import read_checkpoint, save_checkpoint
from util.config import TrainConfig, plain, with_defaults
from util.device import autocast, resolve_precision, select_device
from util.metric_log import MetricLog
from util.optim import (
    RunningMean,
    build_optimizer,
    clip_gradient,
    freeze_batch_norm,
    learning_rate,
    set_learning_rate,
)
from util.presets import preset
from util.progress import training_bar

logger = logging.getLogger(__name__)

CHECKPOINT = "last.pth"
DESCRIPTION = (
    "Train a network. --model, --size and --stage choose a preset; every other flag replaces one of its values."
)


@dataclass
class TrainState:
    """All that a run changes.

    Attributes:
        network: unrolls clips; its `network` is what gets trained.
        optimizer: over all its parameters.
        scaler: of the loss in fp16; does nothing otherwise.
        mean: running mean of the weights, if the run keeps one.
        step: steps done.
        seconds: spent in training so far.
    """

    network: ClipNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    mean: RunningMean | None
    step: int = 0
    seconds: float = 0.0

    def progress(self, config: TrainConfig) -> float:
        """Return the share of the run that is over, of its steps or of its time, whichever ends it first."""
        by_time = self.seconds / (60 * config.max_minutes) if config.max_minutes > 0 else 0.0
        return max(self.step / config.iterations, by_time)


def main(config: TrainConfig) -> None:
    """Run a training: build, loop, save.

    Raises ValueError, FileNotFoundError and OSError, as the command line shows them.
    """
    if config.print_config:
        print(json.dumps(plain(config), indent=2))  # noqa: T201
        return
    check(config)
    device = select_device(config.device)
    torch.manual_seed(config.seed)
    loader = build_loader(config, device)
    state = build_state(config, device)
    folder = open_folder(config)
    with MetricLog(folder) as log:
        fit(state, iter(loader), config, log)
    logger.info("trained %d steps in %.1f minutes; weights in %s", state.step, state.seconds / 60, folder / CHECKPOINT)


def check(config: TrainConfig) -> None:
    """Raise ValueError for values out of range that nothing else checks."""
    for name in ("iterations", "batch_size", "save_every", "log_every"):
        if getattr(config, name) < 1:
            raise ValueError(f"--{name} {getattr(config, name)}: expected at least 1.")
    if config.clip.frames < 2:
        raise ValueError(f"--frames {config.clip.frames}: expected at least 2, the first holds the given masks.")
    if config.clip.memory_frames < 0 or config.clip.max_objects < 1:
        raise ValueError("--memory_frames must be at least 0, --max_objects at least 1.")


def build_state(config: TrainConfig, device: torch.device) -> TrainState:
    """Build network, optimiser and scaler, from fresh weights or from --checkpoint."""
    model = build_model(config.model, config.size, mask_channels=1 if config.stage == "0" else 2)
    if config.checkpoint is not None:
        load_weights(model, read_checkpoint(config.checkpoint), f"checkpoint {config.checkpoint}")
    network = ClipNetwork(model, config.clip.memory_frames, config.clip.deep_update)
    # Pictures come channels-last, which suits convolutions on CPUs and, in half precision, on GPUs.
    network = network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    frozen = config.freeze_bn == "yes" or (config.freeze_bn == "auto" and config.checkpoint is not None)
    if frozen:
        freeze_batch_norm(network)
    logger.info(
        "%s %s from %s: %.1f M parameters, BatchNorm %s, on %s",
        config.model,
        config.size,
        config.checkpoint or "random weights",
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "keeps its statistics" if frozen else "trains",
        device,
    )
    return TrainState(
        network=network,
        optimizer=build_optimizer(network.parameters(), config.optim),
        scaler=torch.amp.GradScaler(device.type, enabled=resolve_precision(device, config.precision) == "fp16"),
        mean=RunningMean(model, config.optim.ema) if config.optim.ema else None,
    )


def open_folder(config: TrainConfig) -> Path:
    """Make the folder of the run and write its configuration there; ValueError if another run's weights are in it."""
    folder = config.folder()
    if (folder / CHECKPOINT).exists() and not config.overwrite:
        raise ValueError(
            f"{folder} holds the weights of another run: choose another --output, or replace it with --overwrite."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for old in (CHECKPOINT, "metrics.jsonl"):
        (folder / old).unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(plain(config), indent=2) + "\n")
    return folder


def fit(state: TrainState, batches: Iterator[ClipBatch], config: TrainConfig, log: MetricLog) -> None:
    """Train until the steps or the minutes are over, writing metrics and checkpoints."""
    device = next(state.network.parameters()).device
    started = time.monotonic()
    pending = Pending()
    with training_bar() as bar:
        while state.progress(config) < 1:
            waiting = time.monotonic()
            batch = next(batches)
            pending.waited += time.monotonic() - waiting
            metrics = train_step(state, batch.to(device), config)
            pending.add(state.step, metrics, batch)
            state.seconds = time.monotonic() - started
            over = state.progress(config) >= 1
            saving = over or state.step % config.save_every == 0
            if saving or state.step % config.log_every == 0:
                scalars = pending.flush(state, config)
                log.scalars(state.step, scalars)
                bar.show(state.progress(config), state.step, scalars)
            if saving:
                # After the flush: weights that a non-finite loss has spoilt are never saved.
                save_checkpoint(config.folder() / CHECKPOINT, payload(state, config))


def train_step(state: TrainState, batch: ClipBatch, config: TrainConfig) -> dict[str, Tensor]:
    """Do one step and return its detached metrics; no input, output or synchronisation."""
    device = batch.images_BT3HW.device
    set_learning_rate(state.optimizer, learning_rate(config.optim, state.step, state.progress(config)))
    with autocast(device, config.precision):
        output = state.network(batch.network_images(), batch.first_masks(), batch.valid_BO, batch.seeds)
    labels = batch.labels_BTHW[:, 1:]
    losses = segmentation_losses(
        output.logits,
        labels,
        batch.valid_BO,
        share=pixel_share(state, config),
        slots=config.clip.max_objects,
        dice=config.loss.dice > 0,
    )
    total = total_loss(losses, {"dice": config.loss.dice})
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(total).backward()
    state.scaler.unscale_(state.optimizer)
    norm = clip_gradient(state.network.parameters(), config.optim.clip_gradient)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.mean is not None:
        state.mean.update(state.network.network)
    state.step += 1
    metrics = {**losses, "loss": total, "gradient_norm": norm, "iou": mean_iou(output.logits, labels, batch.valid_BO)}
    return {name: value.detach() for name, value in metrics.items()}


def pixel_share(state: TrainState, config: TrainConfig) -> float:
    """Return the share of the pixels that the cross-entropy counts at the present step."""
    loss = config.loss
    return bootstrap_share(state.step, loss.bootstrap_start, loss.bootstrap_end, loss.bootstrap_share)


def payload(state: TrainState, config: TrainConfig) -> dict[str, object]:
    """Return what a checkpoint holds."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": state.network.network.state_dict(),
        **({"ema": state.mean.weights} if state.mean is not None else {}),
        "step": state.step,
        "stage": config.stage,
        "config": plain(config),
    }


@dataclass
class Pending:
    """Metrics of the steps since the last line of the log; they stay on the device until then."""

    steps: list[int] = field(default_factory=list)
    metrics: list[dict[str, Tensor]] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)
    redraws: int = 0
    waited: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def add(self, step: int, metrics: dict[str, Tensor], batch: ClipBatch) -> None:
        """Remember a step."""
        self.steps.append(step)
        self.metrics.append(metrics)
        self.names.append(batch.names)
        self.redraws += batch.redraws

    def flush(self, state: TrainState, config: TrainConfig) -> dict[str, float]:
        """Return the means since the last flush, and start anew.

        Raises ValueError, with the step, the term and the clips, if one was not finite.
        """
        terms = list(self.metrics[0])
        values = torch.stack([torch.stack([metrics[term].float() for term in terms]) for metrics in self.metrics]).cpu()
        self._check_finite(terms, values, fp16=state.scaler.is_enabled())
        seconds = time.monotonic() - self.since
        finite = values.isfinite()
        means = values.where(finite, torch.zeros(())).sum(0) / finite.sum(0).clamp(min=1)
        scalars = dict(zip(terms, means.tolist(), strict=True)) | {
            "lr": state.optimizer.param_groups[0]["lr"],
            "pixel_share": pixel_share(state, config),
            "clips_per_second": len(self.steps) * config.batch_size / seconds,
            "data_wait": self.waited / seconds,
            "redraws": self.redraws / len(self.steps),
            "minutes": state.seconds / 60,
        }
        if state.scaler.is_enabled():
            scalars["loss_scale"] = state.scaler.get_scale()
        self.__init__()  # type: ignore[misc]
        return scalars

    def _check_finite(self, terms: Sequence[str], values: Tensor, fp16: bool) -> None:
        for row, step in enumerate(self.steps):
            bad = [term for term, value in zip(terms, values[row], strict=True) if not value.isfinite()]
            if fp16 and bad == ["gradient_norm"]:
                logger.warning(
                    "step %d: gradients overflowed in fp16; the step was skipped, the loss scale halved", step
                )
            elif bad:
                raise ValueError(
                    f"step {step}: {', '.join(bad)} not finite; the run stops. Clips: {'; '.join(self.names[row])}. "
                    "Try a smaller --lr, --clip_gradient 1 or --precision fp32."
                )


def command_line(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train: first the flags that choose the preset, then all of them."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = {"model": "xmem", "size": "base", "stage": "2"}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in chosen:
            chosen[name] = value or following
    try:
        run = preset(**chosen)
    except ValueError as error:
        cli.fail(str(error))
    cli.run(main, with_defaults(run), "train.py", DESCRIPTION, words)


if __name__ == "__main__":
    command_line()
