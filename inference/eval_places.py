"""Where eval.py's results go, what they must keep away from, and which are there already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from dataset.evaluate.protocols import EvaluationSet, published_rules
from dataset.evaluate.video import Video
from inference.eval_config import EvalConfig
from inference.output.finished import is_finished
from inference.output.places import check_apart
from inference.output.record import VideoResult, read_result
from model import box
from util.run.folder import CONFIG, RECORD

SCORES = ("scores.json", "scores.csv")


class Places(TypedDict):
    """Where `ResultWriter` is to put what is not a mask: beside the masks, which scorers want alone; None: nowhere."""

    probs: Path | None
    overlay: Path | None
    coco: Path | None


def places(config: EvalConfig, output: Path, video: str) -> Places:
    """Return where a video's results other than masks go."""
    probs, coco = beside(output, "_probs") / video, beside(output, "_coco") / f"{video}.json"
    return {
        "probs": probs if config.save_probs else None,
        "overlay": output / f"{video}.mp4" if config.overlay else None,
        "coco": coco if config.format == "coco" else None,
    }


def beside(output: Path, end: str) -> Path:
    """Return what lies beside an output folder: its archive (".zip"), or a folder of what are no masks."""
    return output.with_name(output.name + end)


def written_places(config: EvalConfig, output: Path, videos: Sequence[str]) -> list[Path]:
    """Return every file and folder that is written, those of all videos and of what comes after them."""
    found: list[Path] = []
    for video in videos if config.segments else ():
        others: Mapping[str, object] = places(config, output, video)
        found += [output / video, *(place for place in others.values() if isinstance(place, Path))]
    if config.scores and not config.official:
        found += [output / name for name in SCORES]
    if config.packs:
        found.append(archive_of(output, published_rules(config.dataset or "", config.split).archive))
    return found


def archive_of(output: Path, archive: str | None) -> Path:
    """Return where the masks of an output folder are packed for a server, by `Rules.archive`."""
    return beside(output, ".json" if archive == "burst" else ".zip")


def output_folder(config: EvalConfig, evaluation: EvaluationSet | None, videos: Sequence[Video]) -> Path:
    """Return where the masks go: --output, or a folder named after the network and what it segments."""
    if config.output is not None:
        named = config.output.name not in ("", "..")
        return config.output if named else config.output.resolve()  # what lies beside it is named after it
    network = config.model or (box.NAME if config.checkpoint is None else name_of(config.checkpoint))
    what = videos[0].name if evaluation is None else f"{evaluation.dataset}-{evaluation.split}"
    return Path("results") / network / what


def name_of(checkpoint: Path) -> str:
    """Return what to call the results of a checkpoint: its name, after that of the run for those of train.py.

    `runs/xmem-base-s03/stage3/last.pth` is `xmem-base-s03-stage3-last`: every run has a last.pth.
    """
    folder = checkpoint.resolve().parent
    if not (folder / CONFIG).is_file():
        return checkpoint.stem
    is_stage = (folder.parent / RECORD).is_file()
    return "-".join([*([folder.parent.name] if is_stage else []), folder.name, checkpoint.stem])


def check_places(config: EvalConfig, evaluation: EvaluationSet | None, output: Path) -> None:
    """Raise ValueError if results would go into what is read, or the output is a file."""
    if output.is_file() and not config.score_only:
        check_apart([output], inputs(config, evaluation))
        raise ValueError(f"--output {output} is a file: expected a folder.")
    others = [beside(output, end) for end in ("_probs", "_coco", ".zip", ".json")]
    if config.writes and config.segments:
        check_apart([output, *others], inputs(config, evaluation))
    elif config.packs:
        check_apart(others, inputs(config, evaluation))


def inputs(config: EvalConfig, evaluation: EvaluationSet | None) -> dict[str, Path]:
    """Return what is read and must stay as it is, by what to call it."""
    given = {f"--{name}": getattr(config, name) for name in ("video", "mask", "masks", "checkpoint")}
    if evaluation is not None:
        given |= {f"the frames of {evaluation.name} in": evaluation.frames}
        given |= {f"the masks of {evaluation.name} in": evaluation.annotations}
        given |= {f"the list of {evaluation.name} in": evaluation.meta or evaluation.metric_meta}
    return {what: path for what, path in given.items() if path is not None}


def finished_results(config: EvalConfig, videos: list[Video], output: Path) -> dict[str, VideoResult]:
    """Return the results of the videos whose files are all there, by name."""
    finished = {}
    for video in videos:
        result = read_result(output, video.name)
        names = video.frame_names if config.save_all else video.wanted_names
        others = places(config, output, video.name)
        if result is not None and is_finished(names, output / video.name, objects=video.objects, **others):
            finished[video.name] = result
    return finished
