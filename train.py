"""Train a network, on one process or, with torchrun, on many, which share the clips of each step.

--model, --size and --stage choose a preset; all other flags replace values of it.

python train.py --model xmem --size tiny --stage 2 --dataset sample
torchrun --nproc_per_node=8 train.py --model xmem --stage 03
torchrun --nproc_per_node=8 train.py --resume latest
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext

from util import cli
from util.config.plan import RunPlan, plan_run

if __name__ == "__main__":  # a typo is answered before PyTorch is imported, which takes seconds
    with cli.program():
        plan_run(sys.argv[1:], "train.py", __doc__ or "")

import torch
from torch import Tensor

from dataset.clip import ClipBatch, most_boxes
from dataset.train.loader import build_loader, find_sources, read_batches
from dataset.train.sampling import GapSchedule, Shard
from inference.matches.picture import clip_match_picture
from inference.pictures import clip_picture
from inference.validate import ValidationStopped, check_validation, validate
from model.layers.batch_norm import statistics_kept
from model.losses import criterion
from model.losses.correspondence import correspondence_weight
from model.losses.joint import feed, joint_gradients
from model.losses.segmentation import mean_iou
from model.network import ClipKeys, ClipOutput
from model.training.optim import learning_rate, set_learning_rate
from model.training.start import build_state, check_network, find_start
from model.training.state import TrainState, progress, save, weights_payload
from util.config.check import check_correspondence, check_ranges
from util.config.plain import plain
from util.config.train import TrainConfig
from util.device import autocast, select_device, set_up
from util.files.checkpoint import save_checkpoint
from util.parallel import distributed
from util.run.claim import claim
from util.run.due import whats_due
from util.run.folder import BEST, LAST, clean_stage, open_stage, start_run, write_record
from util.run.log import JUDGED, MetricLog, open_log
from util.run.metrics import StepMetrics
from util.run.progress import training_bar
from util.run.provenance import run_facts
from util.run.stop import StopRequest, stop_signals

logger = logging.getLogger(__name__)


def command_line(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train, or print the resolved run."""
    with cli.program():
        plan = plan_run(list(sys.argv[1:] if arguments is None else arguments), "train.py", __doc__ or "")
        if plan.stages[0].print_config:
            resolved = [plain(stage) for stage in plan.stages]
            print(json.dumps(resolved if len(resolved) > 1 else resolved[0], indent=2))  # noqa: T201
            return
        main(plan)


def main(plan: RunPlan) -> None:
    """Run the stages of a plan one after the other, from where it was left.

    Raises ValueError, FileNotFoundError and OSError, as the command line shows them; SystemExit when a signal asked
    for the end.
    """
    device = select_device(plan.stages[0].device)
    set_up(device, fixed_sizes=True)
    with distributed.process_group(device), distributed.lost_ranks(), stop_signals() as stop, claim(plan.folder):
        for config in plan.stages:
            check(config)
        first, saved = find_start(plan)
        for config in plan.stages[first + 1 :]:  # what a later stage lacks is better known now
            find_sources(config.data, config.clip.frames, config.stage, config.correspondence)
        for config in plan.stages[first:]:
            loader = build_loader(config, device, first_step=0 if saved is None else saved["step"])
            state = build_state(config, device, saved)
            if distributed.is_main():
                prepare_folders(plan, config)
            with closing(read_batches(loader)) as batches:
                fit(state, batches, config, stop)
            saved = None
            if stop.signal and (state.progress(config) < 1 or state.owes_validation(config)):
                step, folder = state.step, plan.folder
                logger.info("stopped by signal %d at step %d: continue with --resume %s", stop.signal, step, folder)
            if stop.signal:
                raise SystemExit(128 + stop.signal)


def check(config: TrainConfig) -> None:
    """Raise ValueError for values out of range that nothing else checks."""
    check_ranges(config)
    processes = distributed.world_size()
    Shard(ranks=processes, accumulate=config.accumulate).part_size(config.batch_size)
    check_network(config)
    check_correspondence(config, processes)
    if config.validation.validate_every:
        check_validation(config.validation)


def prepare_folders(plan: RunPlan, config: TrainConfig) -> None:
    """Write what the run is into its folder, and a stage's configuration into the stage's."""
    if config is plan.stages[0] and not plan.resumed:
        start_run(plan.folder, plan.stages, config.overwrite)
    if plan.resumed:
        clean_stage(config.folder())
    open_stage(config.folder(), config)
    write_record(plan.folder, plan.stages, run_facts() | {"stage": config.stage})


def fit(state: TrainState, batches: Iterator[ClipBatch], config: TrainConfig, stop: StopRequest) -> None:
    """Train a stage until its steps or minutes are over or a signal asks for the end; write metrics and checkpoints."""
    began, metrics = time.monotonic() - state.seconds, StepMetrics()
    owing = state.owes_validation(config)
    with (
        open_log(config.folder(), state.step, again=owing) if distributed.is_main() else nullcontext() as log,
        training_bar(state.progress(config), shown=log is not None) as bar,
    ):
        over = state.progress(config) >= 1
        if owing:  # the run was ended while it validated
            over = judge(state, config, log, stop) or over
        with metrics.waiting():
            parts, fault = load_parts(batches, 0 if over else config.accumulate)
        failed, boxes = distributed.largest([fault is not None, most_boxes(parts)])

        def word() -> list[float]:
            return [fault is not None, stop.signal, time.monotonic() - began, most_boxes(following)]

        while not over:
            # End: where a process of the loader dies or a file is bad, what has been learnt so far is kept.
            if failed:
                keep_the_last_step(state, config, log, metrics)
                distributed.raise_fault(fault)

            # Load: the next step's clips, so that what processes tell each other travels while this step is computed.
            with metrics.waiting():
                following, fault = load_parts(batches, config.accumulate if state.step + 1 < config.iterations else 0)
            answer = distributed.ask_largest(word)

            # Step: on this process's clips, in as many parts as its memory needs; boxes are padded as everywhere else.
            values, output = train_step(state, [part.pad_boxes(int(boxes)) for part in parts], config)
            metrics.add(state.step, values, [part.names for part in parts], sum(part.redraws for part in parts))

            # Stop: every process must end at the same step: the longest clock and any signal until they asked count.
            failed, stopping, state.seconds, boxes = answer()
            over = state.progress(config) >= 1 or stopping > 0
            due = whats_due(config, state.step, over, stopped=stopping > 0)

            # Log: means since the last line. A loss that is not finite ends the run here, before its weights are saved.
            if due.log:
                scalars = flush(state, config, log, metrics)
                bar.show(state.progress(config), state.step, scalars)

            # Draw: what the network makes of the last part, which is no longer there after the next step.
            if due.picture and log is not None:
                clip, matches = clip_picture(parts[-1], output.logits), clip_match_picture(parts[-1], output.keys.key)
                log.images(state.step, {"clip": clip, "matches": matches})
            del output  # the next step needs its memory

            # Save: before validation, for which a signal may leave no time.
            if due.checkpoint:
                save(state, config)

            # Validate: then the checkpoint is written again, with the best score so far.
            if due.validation:
                over = judge(state, config, log, stop) or over
            parts = following
    stop.signal = int(*distributed.largest([stop.signal]))
    minutes, weights = state.seconds / 60, config.folder() / LAST
    logger.info("stage %s: %d steps in %.1f minutes; weights in %s", config.stage, state.step, minutes, weights)


def load_parts(batches: Iterator[ClipBatch], count: int) -> tuple[list[ClipBatch], Exception | None]:
    """Return the batches of a step; or what went wrong, for all processes to hear of before one of them ends."""
    try:
        return [next(batches) for _ in range(count)], None
    except (ValueError, OSError) as error:
        return [], error


def keep_the_last_step(state: TrainState, config: TrainConfig, log: MetricLog | None, metrics: StepMetrics) -> None:
    """Save the steps that were done, if none of their losses is bad; every process must come here."""
    if metrics.pending:
        flush(state, config, log, metrics)
    if state.step:
        save(state, config)
        logger.info("step %d is saved: continue with --resume %s", state.step, config.output)
    distributed.barrier()  # the first process that ends has the launcher end the others


def flush(state: TrainState, config: TrainConfig, log: MetricLog | None, metrics: StepMetrics) -> dict[str, float]:
    """Return the scalars of the steps since the last line of the log, and write that line."""
    scalars = metrics.flush(fp16=state.scaler.is_enabled()) | schedule_values(state, config)
    scalars["clips_per_second"] = scalars.pop("steps_per_second") * config.batch_size
    if log is not None:
        log.scalars(state.step, scalars)
    return scalars


def train_step(
    state: TrainState, parts: Sequence[ClipBatch], config: TrainConfig
) -> tuple[dict[str, Tensor], ClipOutput]:
    """Do one step on this process's clips; no input or output, no waiting for a GPU.

    Returns the detached metrics, a value for each part, and what the network made of the last part.
    """
    device = next(state.network.parameters()).device
    set_learning_rate(state.optimizer, learning_rate(config.optim, state.step, state.progress(config)))
    state.optimizer.zero_grad(set_to_none=True)
    weights = criterion.loss_weights(config, state.progress(config))
    with_views = criterion.needs_views(weights)
    own_weights, joint_weights = criterion.split_weights(weights, len(parts))
    joint: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    gradients: list[ClipKeys | None] = [None] * len(parts)
    if any(joint_weights.values()):
        # Losses that compare clips with each other see those of all parts, whose keys are encoded ahead for them.
        ahead = [encode_ahead(state, part, config, with_views) for part in parts]
        compared = [part.compared for part in parts if part.compared is not None]
        joint, counts, gradients = joint_gradients(ahead, compared, config, joint_weights, state.step)
    metrics: list[dict[str, Tensor]] = []
    for part, gradient in zip(parts, gradients, strict=True):
        batch = part.to(device)
        with state.reducing(last=part is parts[-1]):
            with autocast(device, config.precision):
                views = batch.network_views() if with_views else None
                output = state.parallel(batch.network_images(), batch.first_masks(), part.valid_BO, batch.seeds, views)
            logits, keys = output
            labels_BTHW, valid_BO = batch.labels_BTHW, batch.valid_BO
            known = criterion.LossInput(logits, keys, labels_BTHW, valid_BO, part.compared, config, state.step)
            losses, own_counts = criterion.compute_losses(known, own_weights)
            # Losses are means over clips: the mean of equal parts, and of processes, is that of the whole batch.
            share = criterion.total_loss(losses, own_weights) / len(parts)
            state.scaler.scale(share if gradient is None else share + feed(keys, gradient)).backward()
        losses |= joint
        iou = mean_iou(logits, labels_BTHW[:, 1:], valid_BO)
        values = {**losses, **counts, **own_counts, "loss": criterion.total_loss(losses, weights), "iou": iou}
        metrics.append({name: value.detach() for name, value in values.items()})
    norm = state.descend(config)
    joined = {name: torch.stack([part[name] for part in metrics]) for name in metrics[0]}
    return joined | {"gradient_norm": norm.expand(len(parts))}, output.detach()


@torch.no_grad()
def encode_ahead(state: TrainState, part: ClipBatch, config: TrainConfig, with_views: bool) -> ClipKeys:
    """Return the keys of a part without a graph; BatchNorm's statistics stay as they are."""
    batch = part.to(next(state.network.parameters()).device)
    with statistics_kept(state.network), autocast(batch.images_BT3HW.device, config.precision):
        views = batch.network_views() if with_views else None
        keys: ClipKeys = state.network.encode(batch.network_images(), views)  # type: ignore[operator]
    return keys


def judge(state: TrainState, config: TrainConfig, log: MetricLog | None, stop: StopRequest) -> bool:
    """Validate, log the figures, keep the weights if they are the best so far; return whether a signal came."""
    device = next(state.network.parameters()).device
    mean, folder = state.mean.weights if state.mean is not None else None, config.folder()
    try:
        figures = validate(state.model, config.validation, device, mean, folder, stop.asked, config.precision)
    except ValidationStopped:
        logger.info("step %d: the validation was broken off; it is done first when the run goes on", state.step)
    else:
        logger.info("step %d: J&F %.1f on %s", state.step, 100 * figures["J&F"], config.validation.val_dataset)
        is_best, state.best = figures["J&F"] > state.best, max(figures["J&F"], state.best)
        if log is not None:
            if is_best:
                save_checkpoint(folder / BEST, weights_payload(state, config) | {"figures": figures})
            log.scalars(state.step, {f"{JUDGED}{name}": value for name, value in figures.items()})
        state.validated = state.step
        save(state, config)
    stop.signal = int(*distributed.largest([stop.signal]))
    return stop.asked()


def schedule_values(state: TrainState, config: TrainConfig) -> dict[str, float]:
    """Return the scalars that schedules had in the last step."""
    gaps = GapSchedule(gaps=config.clip.gaps, starts=config.clip.gap_starts)
    wanted = config.correspondence
    scale = {"loss_scale": state.scaler.get_scale()} if state.scaler.is_enabled() else {}
    return scale | {
        "lr": (group := state.optimizer.param_groups[0])["lr"] / group["factor"],
        "pixel_share": criterion.pixel_share(config, state.step - 1),
        "alpha": correspondence_weight(progress(config, state.step - 1, state.seconds), wanted.alpha, wanted.ramp),
        "gap": gaps.at(state.step - 1, config.iterations),
        "minutes": state.seconds / 60,
    }


if __name__ == "__main__":
    command_line()
