"""Segment a benchmark or a video of one's own, score the masks, pack them for a server: or any of these alone.

python eval.py --dataset chair --score --overlay
python eval.py --dataset d17 --checkpoint XMem.pth --score
python eval.py --dataset d17 --split test-dev --checkpoint XMem.pth --zip
python eval.py --video clip.mp4 --mask first.png --checkpoint XMem.pth --overlay
torchrun --nproc_per_node=4 eval.py --dataset y19 --checkpoint XMem.pth --zip
python eval.py --score_only --truth Annotations --masks results
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from inference.eval_config import EvalConfig, check_abilities, check_flags, parse
from util import cli

if __name__ == "__main__":  # a typo is answered before PyTorch is imported, which takes seconds
    with cli.program():
        check_flags(parse(sys.argv[1:], "eval.py", __doc__ or ""))

import progressbar
import torch

from dataset.evaluate.protocols import EvaluationSet, choose_listed, find_evaluation_set
from dataset.evaluate.video import Video, open_video, open_videos
from inference.eval_places import (
    SCORES,
    archive_of,
    check_places,
    finished_results,
    inputs,
    output_folder,
    places,
    written_places,
)
from inference.output.finished import remove_left_over
from inference.output.places import FOLDER, check_apart, claim, is_apart
from inference.output.record import VideoResult, digest, open_output, results_table, write_result
from inference.output.submission import pack_results
from inference.output.writer import ResultWriter
from inference.propagate import Variant, build_variants, propagate
from inference.report import Report, format_table, write_csv, write_json
from inference.scoring.folders import score_pair
from inference.scoring.official import score_officially
from inference.scoring.table import ScoreTask, find_metric
from inference.stopwatch import Stopwatch
from model import box
from model.build import build_model
from model.network import VOSNetwork
from model.weights import load_checkpoint
from util.allocator import release_freed_memory
from util.device import peak_memory_bytes, resolve_precision, select_device, set_up
from util.files.hub import local_checkpoint
from util.parallel import distributed
from util.run.claim import claim as alone
from util.run.progress import CurrentStderr, bar_kind

logger = logging.getLogger(__name__)


def command_line(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says."""
    with cli.program():
        main(parse(list(sys.argv[1:] if arguments is None else arguments), "eval.py", __doc__ or ""))


def main(config: EvalConfig) -> None:
    """Segment, score and pack, or what of it was asked for."""
    check_flags(config)
    if config.truth is not None and config.masks is not None:
        score_two_folders(config, config.truth, config.masks)
        return
    evaluation, videos = find_videos(config)
    output = output_folder(config, evaluation, videos)
    check_places(config, evaluation, output)
    device = select_device(config.device)
    set_up(device, fixed_sizes=len(videos) == 1)
    with distributed.process_group(device):
        # Segment: every process takes a share of the videos and writes their masks.
        if config.segments:
            with alone(output / FOLDER, "segments") if config.writes else nullcontext():
                results = segment(config, evaluation, videos, output)
            tell(config, results, output, device)

        # Score and pack: all masks are written by now, and one process reads them.
        if evaluation is not None and distributed.is_main():
            if config.scores:
                score(config, evaluation, output)
            if config.packs:
                pack(evaluation, videos, output)


def find_videos(config: EvalConfig) -> tuple[EvaluationSet | None, list[Video]]:
    """Return the benchmark, if it is one, and the videos; ValueError where it can't be scored or packed as asked."""
    if config.dataset is None:
        assert config.video is not None
        masks, enlarge = config.mask or config.masks or "", config.enlarge or bool(config.scales)
        return None, [open_video(config.video, masks, allow_truncated=config.allow_truncated, enlarge=enlarge)]
    whole = find_evaluation_set(config.dataset, split=config.split, root=config.root, sparse=config.sparse)
    evaluation = choose_listed(whole, config.sequences, "--sequences")
    check_abilities(config, evaluation)
    enlarge = evaluation.enlarge or config.enlarge or bool(config.scales)
    return evaluation, open_videos(replace(evaluation, enlarge=enlarge))


def segment(
    config: EvalConfig, evaluation: EvaluationSet | None, videos: list[Video], output: Path
) -> list[VideoResult]:
    """Segment all videos that are not finished; returns every video's result, in order."""
    # Prepare: a segmenter for each size, and mirrored ones.
    device = select_device(config.device)
    inference = replace(config.inference, precision=resolve_precision(device, config.inference.precision))
    model, origin = load_model(config)
    sizes = config.scales or (config.size,)
    variants = build_variants(model, sizes, flip=config.flip, config=inference, device=device)
    del model  # most of its weights were copied
    release_freed_memory()

    # Take stock: results of other settings stop the run, finished videos stay as they are.
    settings = {"network": origin, "sizes": sizes, "enlarge": config.enlarge, "flip": config.flip, **asdict(inference)}
    del settings["compile"]  # results are the same
    settings |= describe_task(config, evaluation)
    results: dict[str, VideoResult] = {}
    if distributed.is_main() and config.writes:
        written = written_places(config, output, [video.name for video in videos])
        open_output(output, settings, written, config.overwrite)
        remove_left_over(written)
        if not config.benchmark:
            results = finished_results(config, videos, output)
    results = distributed.broadcast_object(results)
    if results:
        logger.info("%d of %d videos are finished; --overwrite segments them again", len(results), len(videos))

    # Work: each process takes videos with about as many frames in all.
    todo = [video for video in videos if video.name not in results]
    mine = [todo[job] for job in distributed.share([len(video) for video in todo])[distributed.rank()]]
    with bar_kind(shown=distributed.is_main() and bool(mine))(max_value=sum(map(len, mine)), fd=CurrentStderr()) as bar:
        done = 0
        for video in mine:
            results[video.name] = segment_one(config, variants, video, output, bar, done)
            done += len(video)

    # Gather what the others did.
    for others in distributed.gather_objects(results):
        results |= others
    return [results[video.name] for video in videos]


def segment_one(
    config: EvalConfig, variants: list[Variant], video: Video, output: Path, bar: progressbar.ProgressBar, done: int
) -> VideoResult:
    """Segment one video and write its results; `bar` stands at `done` frames before."""
    watch = Stopwatch(synchronise=config.benchmark)
    numbers = {name: number for number, name in enumerate(video.frame_names, start=1)}
    with open_writer(config, video, output) as writer:
        frames = propagate(
            variants,
            video,
            stopwatch=watch,
            wanted_only=not (config.save_all or config.overlay),
            resegment_given=config.resegment_given,
        )
        for frame in frames:
            if writer is not None:
                writer.write(
                    frame.name,
                    frame.id_mask,
                    rgb=frame.rgb,
                    prob=frame.prob if config.save_probs else None,
                    object_ids=frame.object_ids,
                    wanted=frame.wanted or config.save_all,
                )
            bar.update(done + numbers[frame.name])
    if early := len(video) - watch.frames:
        logger.info("%s: the masks of %d frames before the first given one are empty", video.name, early)
    objects = len(variants[0].segmenter.object_ids)
    result = VideoResult(name=video.name, objects=objects, frames=watch.frames, seconds=watch.seconds)
    if config.writes:
        write_result(output, result)
    return result


def tell(config: EvalConfig, results: list[VideoResult], output: Path, device: torch.device) -> None:
    """Print what was segmented, how fast, where the masks are, and for a benchmark the peak memory."""
    peak = max(distributed.gather_objects(peak_memory_bytes(device)))
    if not distributed.is_main():
        return
    print(results_table(results))  # noqa: T201
    if config.writes:
        print(f"masks: {output}")  # noqa: T201
    if config.benchmark:
        what = "GPU memory" if device.type == "cuda" else "resident memory of the process"
        print(f"peak {what}: {peak / 2**20:.0f} MiB on {device}")  # noqa: T201


def score(config: EvalConfig, evaluation: EvaluationSet, output: Path) -> None:
    """Score the masks and print the table."""
    if config.official:
        figures = score_officially(evaluation.annotations.parents[1], evaluation.split, output)
        print("davis2017-evaluation: " + "  ".join(f"{k} {100 * v:.1f}" for k, v in figures.items()))  # noqa: T201
        return
    kept = is_apart(output, inputs(config, evaluation).values())
    if kept and output.is_dir():  # a missing one is named by the scorer
        claim(output, [output / name for name in SCORES])
    if not kept:
        logger.info("no %s: %s is an input, where nothing is written", " and ".join(SCORES), output)
    task = ScoreTask(
        truth=evaluation.annotations,
        masks=output,
        sequences=evaluation.videos,
        single_object=evaluation.binary,
        meta=evaluation.metric_meta,
        names=evaluation.metric_list,
        workers=config.score_workers,
        show_progress=True,
    )
    report = find_metric(evaluation.metric).score(task)
    if kept:
        write_scores(report, output)
    print(format_table(report))  # noqa: T201


def score_two_folders(config: EvalConfig, truth: Path, masks: Path) -> None:
    """Score any masks against any ground truth, say what both were taken for, and print the table."""
    output = config.output
    files = [] if output is None else [output / name for name in SCORES]
    check_apart(files, {"the ground truth": truth, "the masks": masks})
    task = ScoreTask(
        truth=truth,
        masks=masks,
        sequences=config.sequences,
        meta=config.meta,
        names=config.names,
        workers=config.score_workers,
        show_progress=True,
    )
    report, taken_for = score_pair(task, config.metric)
    if output is not None:
        write_scores(report, output)
    print("\n".join([*taken_for, format_table(report)]))  # noqa: T201


def write_scores(report: Report, output: Path) -> None:
    """Write the scores into a folder, over those of earlier runs only."""
    table, flat = (output / name for name in SCORES)
    claim(output, [table, flat])
    write_json(report, table)
    write_csv(report, flat)


def pack(evaluation: EvaluationSet, videos: list[Video], output: Path) -> None:
    """Pack the masks for the benchmark's server, and print where."""
    assert evaluation.archive is not None
    archive = archive_of(output, evaluation.archive)
    claim(output, [archive])
    print(f"archive: {pack_results(output, archive, videos, evaluation)}")  # noqa: T201


def describe_task(config: EvalConfig, evaluation: EvaluationSet | None) -> dict[str, Any]:
    """Return what is segmented and what is written, for the run's record."""
    if evaluation is None:
        masks = config.mask or config.masks
        source = {"video": str(config.video), "masks": digest(masks) if masks else ""}
    else:
        source = {"dataset": evaluation.name}
    flags = ("resegment_given", "save_all", "save_probs", "overlay", "format")
    return source | {name: getattr(config, name) for name in flags}


def open_writer(config: EvalConfig, video: Video, output: Path) -> AbstractContextManager[ResultWriter | None]:
    """Return what writes a video's results, or a context without a writer for a mere benchmark."""
    if not config.writes:
        return nullcontext()
    return ResultWriter(
        output / video.name,
        fps=video.fps,
        times=video.seconds if config.overlay else (),
        objects=video.objects,
        **places(config, output, video.name),
    )


def load_model(config: EvalConfig) -> tuple[VOSNetwork, str]:
    """Return the network and, for the run's record, where its weights come from."""
    if config.model is not None:
        return build_model(config.model, size=config.model_size), f"random {config.model} {config.model_size}"
    if config.checkpoint is None and distributed.is_main():
        logger.info(box.NOTICE)
    path = local_checkpoint(box.checkpoint_path(config.checkpoint or box.NAME))
    return load_checkpoint(path), digest(path)


if __name__ == "__main__":
    command_line()
