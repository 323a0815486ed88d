"""Measures how often the best match of a position lies on the same object, from the matching keys alone.

python scripts/matching_accuracy.py --checkpoint baseline.pth ours.pth --dataset d16 --size 240 --gaps 1 5 20
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset.evaluate.annotated import AnnotatedVideo, open_annotated
from dataset.evaluate.protocols import find_evaluation_set
from inference.matches.accuracy import GAPS, PAIRS, MatchReport, check_settings, make_match_report, measure_videos
from model.weights import load_checkpoint
from util.cli import run
from util.device import select_device
from util.files.atomic import atomic_write
from util.run.progress import with_progress


@dataclass(frozen=True, kw_only=True)
class AccuracyConfig:
    """What to measure.

    Attributes:
        checkpoint: trained networks, a row of the table for each.
        dataset: d16, d17, sample, or one's own videos in DAVIS-2017's layout as d17.
        split: val, or train.
        root: the data set's folder (default: its place under data/).
        size: pixels of the shorter side at which the network works; -1 is native.
        gaps: frames between reference and query.
        pairs: pairs of frames of each video and gap, spread evenly.
        device: auto, cpu, cuda, cuda:INDEX or mps.
        output: the JSON file to write, with the figures of each video.
    """

    checkpoint: tuple[Path, ...]
    dataset: str = "d17"
    split: str = "val"
    root: Path | None = None
    size: int = 480
    gaps: tuple[int, ...] = GAPS
    pairs: int = PAIRS
    device: str = "auto"
    output: Path = Path("matching_accuracy.json")


def main(config: AccuracyConfig) -> None:
    """Measure, print the table and write the JSON file; raises ValueError or FileNotFoundError for unfit input."""
    check_settings(config.gaps, config.pairs, config.size)
    evaluation = find_evaluation_set(config.dataset, split=config.split, root=config.root)
    videos = open_annotated(evaluation)
    require_pairs(videos, evaluation.name, config.gaps)
    device = select_device(config.device)
    networks = {str(file): load_checkpoint(file, device) for file in config.checkpoint}
    reports, seconds = {}, {}
    for name, network in networks.items():
        start = time.perf_counter()
        tallies = measure_videos(network, videos, gaps=config.gaps, pairs=config.pairs, size=config.size, device=device)
        reports[name] = make_match_report(dict(with_progress(tallies, len(videos), Path(name).name)))
        seconds[name] = time.perf_counter() - start
    content = {
        "dataset": evaluation.name,
        "size": config.size,
        "pairs": config.pairs,
        "networks": {name: {**asdict(report), "seconds": seconds[name]} for name, report in reports.items()},
    }
    with atomic_write(config.output) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(format_table(reports))


def require_pairs(videos: Sequence[AnnotatedVideo], dataset: str, gaps: Sequence[int]) -> None:
    """Raise ValueError for a gap that no video is long enough for."""
    for gap in gaps:
        if not any(frame - gap in video.masks for video in videos for frame in video.masks):
            longest = max(len(video.frames) for video in videos)
            raise ValueError(
                f"--gaps {gap}: no video of {dataset} has two annotated frames so far apart, the longest has {longest} "
                "frames: choose smaller gaps."
            )


def format_table(reports: Mapping[str, MatchReport]) -> str:
    """Return aligned text in percent: a row for each network, for each gap the accuracy on objects and background."""
    gaps = list(next(iter(reports.values())).mean)
    rows = [["network", *(f"{kind}@{gap}" for gap in gaps for kind in ("objects", "background"))]]
    for name, report in reports.items():
        shares = [share for gap in gaps for share in (report.mean[gap].foreground, report.mean[gap].background)]
        rows.append([name, *("-" if share is None else f"{100 * share:.1f}" for share in shares)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


if __name__ == "__main__":
    run(main, AccuracyConfig, "matching_accuracy.py", __doc__ or "")
