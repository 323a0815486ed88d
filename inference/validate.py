"""Validation while training: scores masks and matches of a data set with the present weights, and leaves no trace."""

import copy
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from dataset.evaluate.annotated import open_annotated
from dataset.evaluate.protocols import EvaluationSet, choose_listed, find_evaluation_set
from dataset.evaluate.video import Video, open_videos
from inference.matches.accuracy import Tally, make_match_report, measure_videos
from inference.propagate import build_variants, propagate
from inference.report import make_report, score_folders
from inference.scoring.sequences import FrameValues
from inference.segmenter import InferenceConfig
from model.network import VOSNetwork
from util.config.choices import Precision
from util.config.train import ValidationConfig
from util.device import many_sizes
from util.files.atomic import remove, temporary_sibling
from util.files.palette import write_mask
from util.parallel import distributed

logger = logging.getLogger(__name__)

FIGURES = ("J&F", "J-Mean", "F-Mean")
REPORTED = ("d16", "d17")  # papers report these on the very split that is easiest to validate on


class ValidationStopped(Exception):
    """There was no more time for a validation; nothing came of it."""


def validate(
    model: VOSNetwork,
    config: ValidationConfig,
    device: torch.device,
    weights: Mapping[str, Tensor] | None = None,
    scratch: Path | None = None,
    stopped: Callable[[], bool] = lambda: False,
    precision: Precision = "auto",
) -> dict[str, float]:
    """Segment and score a data set as eval.py would, and measure its matches, its videos shared over the ranks.

    Training notices nothing of it: the network is copied, so that its weights, their layout, its mode and BatchNorm's
    statistics stay as they are, and the states of torch's generators are put back.

    Args:
        model: the network that is being trained, without wrappers; on any device, in any mode.
        config: which data set, and at what size.
        device: where to compute.
        weights: used instead of the network's own, such as a running mean of them.
        scratch: folder in which masks are kept meanwhile, in a hidden one; by default the system's temporary folder.
        stopped: asked between frames whether there is no more time.
        precision: that of the run; see `InferenceConfig.precision`.

    Returns:
        "J&F", "J-Mean" and "F-Mean" in 0..1, the same on every rank; and the matching accuracy, such as
        "match_foreground_5" and "match_background_5" at a gap of 5 frames, where the videos are long enough for it.

    Raises:
        FileNotFoundError, ValueError: for data that are missing or unfit, or that have no complete ground truth.
        ValidationStopped: on every rank, when one of them was `stopped`.
    """
    evaluation, videos = open_validation(config)
    names = [video.name for video in videos]
    mine = [videos[job] for job in distributed.share([len(video) for video in videos])[distributed.rank()]]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), many_sizes():
        snapshot = copy.deepcopy(model).eval()
        if weights is not None:
            snapshot.load_state_dict(weights)
        try:
            mine_only = _measure(snapshot, evaluation, mine, config, device, scratch, stopped, precision)
        except ValidationStopped:
            mine_only = None
    everywhere: dict[str, dict[int, FrameValues]] = {}
    matches: dict[str, dict[int, Tally]] = {}
    for measured in distributed.gather_objects(mine_only):
        if measured is None:
            raise ValidationStopped
        frames, tallies = measured
        everywhere |= frames
        matches |= tallies
    # In the order of the list: sums of floats depend on it, the number of ranks must not matter.
    mean = make_report({name: everywhere[name] for name in names}).mean
    matching = make_match_report({name: matches[name] for name in names})
    return {figure: mean[figure] for figure in FIGURES} | matching.figures()


def open_validation(config: ValidationConfig) -> tuple[EvaluationSet, list[Video]]:
    """Find the videos to validate on. Raises as `validate`."""
    try:
        evaluation = find_evaluation_set(config.val_dataset, split=config.val_split, root=config.val_root)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("--root", "--val_root")) from error
    if not evaluation.scored:
        raise ValueError(
            f"--val_dataset: {evaluation.name} has no complete ground truth to validate on: choose d16, d17, sample, "
            "or one's own in DAVIS-2017's layout as d17 with --val_root."
        )
    if evaluation.metric != "davis":
        raise ValueError(
            f"--val_dataset: {evaluation.name} is scored in its own way ({evaluation.metric}), training validates by "
            "DAVIS's J&F: choose d16, d17, mose, or one's own in DAVIS-2017's layout; eval.py --score does the rest."
        )
    evaluation = choose_listed(evaluation, config.val_list, "--val_list")
    return evaluation, open_videos(evaluation)


def check_validation(config: ValidationConfig) -> None:
    """Open the videos to validate on before training, so that missing data don't end a run that is under way.

    Warns where the best checkpoint would be chosen by the very videos that a benchmark's figures are about.

    Raises as `validate`.
    """
    evaluation, _ = open_validation(config)
    if evaluation.dataset in REPORTED and evaluation.split == "val" and config.val_list is None:
        logger.warning(
            "best.pth is chosen on %s: its figures there are those of the best of many, not of unseen videos. Report "
            "last.pth, or validate on training videos that are left out of training (--val_split train --val_list, "
            "--davis_list).",
            evaluation.name,
        )


def _measure(
    model: VOSNetwork,
    evaluation: EvaluationSet,
    videos: Sequence[Video],
    config: ValidationConfig,
    device: torch.device,
    scratch: Path | None,
    stopped: Callable[[], bool],
    precision: Precision,
) -> tuple[dict[str, dict[int, FrameValues]], dict[str, dict[int, Tally]]]:
    """Return the per-frame values of each video's objects, and the tallies of its matches; {} and {} without videos."""
    if not videos:
        return {}, {}
    names = [video.name for video in videos]
    variants = build_variants(
        model,
        (config.val_size,),
        config=InferenceConfig(mem_every=evaluation.mem_every, precision=precision),
        device=device,
    )
    with _folder(scratch) as folder:
        for video in videos:
            for frame in propagate(variants, video, wanted_only=True):
                _look(stopped)
                write_mask(folder / video.name / f"{frame.name}.png", frame.id_mask)
        scored = score_folders(evaluation.annotations, folder, sequences=names, single_object=evaluation.binary).frames
    counted = {}
    annotated = [video for video in open_annotated(evaluation) if video.name in names]
    for name, tally in measure_videos(model, annotated, size=config.val_size, device=device):
        _look(stopped)
        counted[name] = tally
    return scored, counted


def _look(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise ValidationStopped


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    """Make a folder, and remove it again; a killed run leaves that in `scratch` for its next start to remove."""
    if scratch is None:
        with tempfile.TemporaryDirectory(prefix="corrvos-validation-") as place:
            yield Path(place)
        return
    folder = temporary_sibling(scratch / "validation")
    try:
        yield folder
    finally:
        remove(folder)
