"""Archives of results as the benchmarks' servers want them, checked before they are written."""

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from dataset.evaluate.protocols import EvaluationSet
from dataset.evaluate.video import Video
from inference.output.burst import write_burst
from util.files.atomic import atomic_write
from util.files.picture import open_picture

Layout = Literal["davis", "youtube"]

# The server of DAVIS-2017 test-dev wants the sequences at the archive's root, YouTube-VOS's below one folder.
_MEMBER_NAMES: dict[Layout, Callable[[str, str], str]] = {
    "davis": lambda video, frame: f"{video}/{frame}.png",
    "youtube": lambda video, frame: f"Annotations/{video}/{frame}.png",
}
# ZIP stores times from 1980 on; a fixed one makes equal results equal archives.
_TIME = (1980, 1, 1, 0, 0, 0)


def pack_results(results: Path, archive: Path, videos: Sequence[Video], evaluation: EvaluationSet) -> Path:
    """Pack a benchmark's masks as its server, or BURST's evaluation code, takes them, and return the file.

    Raises as `write_submission`, and ValueError when no server takes them.
    """
    if evaluation.archive is None:
        raise ValueError(f"no server takes results of {evaluation.name}.")
    if evaluation.archive != "burst":
        return write_submission(results, archive, videos, evaluation.archive)
    check_complete(results, videos)
    annotations = evaluation.metric_meta or evaluation.annotations / "all_classes.json"
    return write_burst(results, archive, videos, annotations)


def write_submission(
    results: str | os.PathLike[str], archive: str | os.PathLike[str], videos: Sequence[Video], layout: Layout
) -> Path:
    """Pack the masks of a data set, as `eval.py` wrote them, into a ZIP archive for the benchmark's server.

    Only wanted frames are packed. Equal results give equal archives, byte for byte.

    Args:
        results: the folder with a folder of mask PNGs for each video.
        archive: the file to write; its folder is made.
        videos: the benchmark's videos.
        layout: "davis" (sequences at the root; MOSE's, too) or "youtube" (below `Annotations/`; LVOS's test set, too).

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when results are missing or unfit; the message names all of them, video by video.
    """
    results, archive = Path(results), Path(archive)
    check_complete(results, videos)
    members = sorted(
        (_MEMBER_NAMES[layout](video.name, frame), results / video.name / f"{frame}.png")
        for video in videos
        for frame in video.wanted_names
    )
    with atomic_write(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for name, path in members:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, also on other systems
            entry.external_attr = 0o644 << 16
            file.writestr(entry, path.read_bytes())
    return archive


def check_complete(results: Path, videos: Sequence[Video]) -> None:
    """Raise as `write_submission` unless the results of all videos are there and fit."""
    if not results.is_dir():
        raise FileNotFoundError(f"results {results} do not exist: segment the data set first.")
    problems = [problem for video in videos for problem in check_results(results, video)]
    if problems:
        raise ValueError(
            f"{results} is no complete submission: {'; '.join(problems)}. Segment these videos again and pack then."
        )


def check_results(results: Path, video: Video) -> list[str]:
    """Return what a server would refuse in a video's masks, in words; empty if nothing."""
    folder = results / video.name
    if not folder.is_dir():
        return [f"{video.name}: no results"]
    by_problem: dict[str, list[str]] = {}
    for frame in video.wanted_names:
        problem = _problem(folder / f"{frame}.png", video.size)
        if problem:
            by_problem.setdefault(problem, []).append(frame)
    return [f"{video.name}: {problem}: {', '.join(frames)}" for problem, frames in by_problem.items()]


def _problem(path: Path, size: tuple[int, int]) -> str:
    if not path.is_file():
        return "frames are missing"
    try:
        with open_picture(path) as image:
            mode, width, height = image.mode, image.width, image.height
            image.verify()
    except (OSError, SyntaxError, ValueError):
        return "no image or damaged"
    if mode != "P":
        return f"no palette (mode {mode})"
    if (height, width) != size:
        return f"{width}x{height} pixels instead of {size[1]}x{size[0]}"
    return ""
