"""What eval.py can be asked to do, and which wishes contradict each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dataset.evaluate.protocols import DATASETS, EvaluationSet, published_rules
from inference.config import InferenceConfig
from inference.scoring.official import require_official
from model import box
from util import cli
from util.config.plain import with_defaults
from util.config.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What to segment, with what, and what to make of it."""

    dataset: str | None = None
    """The benchmark: d16, d17, y18, y19, lv1, lv3, mose, mose2, lvos, lvos2, vost, burst, sav; g (folders of one's
    own), sample (generated) or chair (packaged)."""
    split: str = "val"
    """val; test-dev (d17), test (y18, y19, lvos, lvos2, vost, burst, sav), train (most)."""
    root: Path | None = None
    """The data set's folder (default: its place under data/)."""
    sparse: bool = False
    """Run y18 and y19 on their annotated frames alone; the benchmark runs on all frames."""
    video: Path | None = None
    """A video of one's own instead of a benchmark: a video file or a folder of frames."""
    mask: Path | None = None
    """The mask PNG of that video's first frame."""
    masks: Path | None = None
    """Or a folder of mask PNGs named like their frames. With --truth: the masks to score."""
    truth: Path | None = None
    """With --score_only and --masks: any ground truth, a folder of masks (a video or several) or a COCO file."""
    metric: str | None = None
    """For --truth: davis, davis16, youtube, mose2, lvos, vost, burst or sav (default: the one that fits the files)."""
    meta: Path | None = None
    """For --truth: the metric's meta.json."""
    names: Path | None = None
    """For --truth: the metric's list: unseen videos (lvos), seen categories (youtube; or the training meta.json)."""
    sequences: Path | None = None
    """A file with the names of the videos that count, one on each line (default: all)."""
    score_workers: int = 0
    """Processes to score with; 0: none but this one."""
    allow_truncated: bool = False
    """Take a video file that ends early as it is."""
    checkpoint: Path | None = None
    """The trained network: a released file, one of train.py's, or box (default), the small one that comes along."""
    model: str | None = None
    """Instead of a checkpoint: a network with random weights, for --benchmark."""
    model_size: str = "base"
    """The size of --model: base, small or tiny."""
    output: Path | None = None
    """Folder for the masks (default: results/CHECKPOINT/DATASET-SPLIT; --benchmark writes nothing by default)."""
    overwrite: bool = False
    """Segment videos again that are finished."""
    size: int = 480
    """Pixels of the shorter side at which the network works, with the box 240; -1 is native. Smaller videos of one's
    own, of g and of sample keep their size."""
    enlarge: bool = False
    """Enlarge smaller videos to --size; the other benchmarks do so by themselves."""
    scales: tuple[int, ...] = ()
    """Average over these sizes, instead of --size; smaller videos are enlarged to them."""
    flip: bool = False
    """Average with the mirrored video."""
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    device: str = "auto"
    """auto, cpu, cuda, cuda:INDEX or mps."""
    resegment_given: bool = False
    """Write what the network makes of the given masks, too; by default they are written as they were given."""
    save_all: bool = False
    """Write the masks of all frames, also those that the benchmark does not ask for."""
    save_probs: bool = False
    """Write probabilities, too (OUTPUT_probs/VIDEO/FRAME.npz)."""
    format: Literal["png", "coco"] = "png"
    """coco: beside the palette PNGs also a COCO file of run lengths and tracks (OUTPUT_coco/VIDEO.json)."""
    overlay: bool = False
    """Write a film with coloured objects, too (OUTPUT/VIDEO.mp4)."""
    benchmark: bool = False
    """Measure frames per second (segmenting only, start-up included) and peak memory."""
    score: bool = False
    """Score the masks afterwards (OUTPUT/scores.json and scores.csv)."""
    score_only: bool = False
    """Score masks that are there; segment nothing."""
    official: bool = False
    """Score with davis2017-evaluation instead (d17)."""
    zip: bool = False
    """Pack the masks afterwards as the benchmark's server wants them (OUTPUT.zip)."""
    zip_only: bool = False
    """Pack masks that are there; segment nothing."""

    @property
    def segments(self) -> bool:
        """Whether anything is segmented."""
        return not (self.score_only or self.zip_only)

    @property
    def scores(self) -> bool:
        """Whether masks are scored."""
        return self.score or self.score_only or self.official

    @property
    def packs(self) -> bool:
        """Whether masks are packed."""
        return self.zip or self.zip_only

    @property
    def writes(self) -> bool:
        """Whether results are written: a benchmark is not disturbed by writing unless asked to."""
        return self.output is not None or not self.benchmark


def parse(words: Sequence[str], prog: str, description: str) -> EvalConfig:
    """Read a command line; the benchmark decides at what size, and how often, its published results memorise a frame.

    The network in the box has a size of its own.

    Exits with status 2 and one line if the words are wrong.
    """
    given = cli.given(words, ("dataset", "split", "checkpoint", "model"))
    rules = published_rules(given.get("dataset", ""), given.get("split", EvalConfig.split))
    uses_box = "model" not in given and given.get("checkpoint", box.NAME) == box.NAME
    usual = EvalConfig(size=box.SIZE if uses_box else rules.size, inference=InferenceConfig(mem_every=rules.mem_every))
    return cli.parse(with_defaults(usual), prog, description, words, {"dataset": DATASETS, "model": PRESETS})


def check_flags(config: EvalConfig) -> None:
    """Raise ValueError for flags that contradict each other or lack one another; nothing is read."""
    for wrong, message in _source_faults(config) + _task_faults(config):
        if wrong:
            raise ValueError(message)


def _source_faults(config: EvalConfig) -> list[tuple[bool, str]]:
    video, dataset = config.video is not None, config.dataset is not None
    mask, masks = config.mask is not None, config.masks is not None
    return [
        (
            config.truth is not None and (not config.score_only or not masks or video or dataset or config.packs),
            "--truth is the ground truth of two folders: give it with --score_only and --masks, and without --dataset, "
            "--video and --zip_only",
        ),
        (
            config.truth is None and any(value is not None for value in (config.metric, config.meta, config.names)),
            "--metric, --meta and --names need --truth: a data set brings its own",
        ),
        (
            config.sequences is not None and (video or config.packs or config.official),
            "--sequences chooses some of a benchmark's videos: servers, and --official, want all of them",
        ),
        (
            not dataset and not video and config.truth is None,
            f"give --dataset ({', '.join(DATASETS)}) or --video with --mask",
        ),
        (dataset and video, "--video and --dataset contradict each other: give one of them"),
        (mask and not video, "--mask needs --video, the video that it belongs to"),
        (
            masks and not video and config.truth is None,
            "--masks needs --video, the video that they belong to; with a benchmark, --output has the masks to score",
        ),
        (mask and masks, "--mask and --masks contradict each other: give one of them"),
        (video and not mask and not masks, "--video needs --mask FIRST.png or --masks FOLDER"),
        (video and config.root is not None, "--root needs --dataset: it is the data set's folder"),
        (video and config.scores, "--score, --score_only and --official need --dataset: a video has no ground truth"),
        (video and config.packs, "--zip and --zip_only need --dataset: no server takes a video of one's own"),
    ]


def _task_faults(config: EvalConfig) -> list[tuple[bool, str]]:
    checkpoint, model, output = config.checkpoint is not None, config.model is not None, config.output is not None
    alone = "--score_only" if config.score_only else "--zip_only"
    needs_masks = config.scores or config.packs or config.save_probs or config.overlay or config.format != "png"
    return [
        (
            checkpoint and model,
            "--checkpoint and --model contradict each other: --model is a network with random weights",
        ),
        (model and not config.benchmark, "--model has random weights: only --benchmark takes it"),
        (
            not config.segments and (config.benchmark or config.overwrite),
            f"{alone} segments nothing: leave out --benchmark and --overwrite",
        ),
        (
            not config.segments and not checkpoint and not output and config.truth is None,
            f"{alone} needs --output, the folder of the masks (or the --checkpoint that made them)",
        ),
        (
            config.segments and not config.writes and needs_masks,
            "--benchmark writes no masks unless --output is given: give it, or leave out what needs the masks",
        ),
    ]


def check_abilities(config: EvalConfig, evaluation: EvaluationSet) -> None:
    """Raise ValueError if this benchmark can't be scored or packed as asked, before anything is segmented."""
    if config.packs and evaluation.archive is None:
        remedy = "score the masks with --score" if evaluation.scored else "leave --zip out"
        raise ValueError(f"--zip: no server takes results of {evaluation.name}: {remedy}")
    if config.scores and not evaluation.scored:
        remedy = "pack the masks for its server with --zip" if evaluation.archive else "leave --score out"
        raise ValueError(f"--score: {evaluation.name} has no complete ground truth: {remedy}")
    if config.official and evaluation.dataset != "d17":
        raise ValueError(f"--official: davis2017-evaluation scores d17 only: use --score for {evaluation.dataset}")
    if config.official:
        require_official()
