"""Finds object proposals in the frames of a data set with Selective Search, for the object-level loss.

    python scripts/extract_proposals.py data/DAVIS/2017/trainval --scale 0.5

ROOT is a data set of videos, a folder of sets of static pictures, or one such set. Videos get a file each in a folder
`Proposals` beside `JPEGImages`, a set of static pictures gets `proposals.npz`. Videos are those that training reads:
of the data set's own list, if it has one, and not those for evaluation. Boxes have a width over height of 1/3 to 3 and
an area of 0.3^2 to 0.8^2 of the picture. A run that was broken off continues where it stopped.
"""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset.disk.frames import list_images, read_rgb
from dataset.disk.layout import IMAGES, RESOLUTIONS, Part, StaticSet, proposals_folder
from dataset.disk.lists import read_names
from dataset.disk.proposals import (
    STATIC_NAME,
    ProposalHeader,
    Proposals,
    ProposalSettings,
    proposals_path,
    read_all,
    read_header,
    write_proposals,
)
from dataset.disk.recognise import Layout, find_layout
from dataset.disk.selective_search import find_boxes
from util.files.atomic import remove
from util.parallel.workers import default_processes, map_processes
from util.run.progress import with_speed

logger = logging.getLogger(__name__)

# A long video or a large set is kept in pieces until it is done.
PIECE = 500
_FRAMES_PER_TASK = 4


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """What to search, and how.

    Attributes:
        root: a data set of videos in one of the layouts that scripts/check_dataset.py knows, or static pictures.
        scale: of the picture searched, to the original; a 480p frame takes about 0.5 s at 0.5, 0.2 s at 0.35, 3 s at 1.
        mode: of Selective Search; quality finds about five times as many boxes and takes over three times as long.
        videos: names, or a file with a name on each line; by default those that training reads.
        num_workers: how many processes search; 0 for one per core, at most 16.
        overwrite: remove what is there first; leave it out to continue such a run.
    """

    root: Annotated[Path, tyro.conf.Positional]
    scale: float = 0.5
    mode: Literal["fast", "quality"] = "fast"
    videos: tuple[str, ...] = ()
    num_workers: int = 0
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to write: where, and the pictures by the names of their frames."""

    folder: Path
    video: str
    pictures: dict[str, Path]

    def pieces(self) -> list["Job"]:
        """Return the job cut in pieces that are kept beside its file until it is done; itself if it is short."""
        if len(self.pictures) <= PIECE:
            return [self]
        items = list(self.pictures.items())
        return [
            Job(folder=self.pieces_folder(), video=f"{start:08d}", pictures=dict(items[start : start + PIECE]))
            for start in range(0, len(items), PIECE)
        ]

    def pieces_folder(self) -> Path:
        """Return the hidden folder of its pieces."""
        path = proposals_path(self.folder, self.video)
        return path.with_name(f".{path.name}.pieces")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did: files written and there already, frames searched, their boxes, and seconds."""

    written: int
    skipped: int
    frames: int
    boxes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Task:
    pictures: tuple[Path, ...]
    settings: ProposalSettings


# For each picture its boxes [N,4] uint16, and its height and width.
_Found = list[tuple[np.ndarray, tuple[int, int]]]


def main(config: ExtractConfig) -> None:
    """Find the proposals and print how many and how fast."""
    outcome = extract_proposals(config)
    print(f"{config.root}: {outcome.written} files written, {outcome.skipped} were there already")
    if outcome.frames:
        print(
            f"{outcome.frames} frames at {outcome.frames / outcome.seconds:.2f} frames/s, "
            f"{outcome.boxes / outcome.frames:.0f} boxes per frame"
        )


def extract_proposals(config: ExtractConfig) -> Outcome:
    """Write all files that are not there yet.

    Raises:
        FileNotFoundError: when there is no such data set.
        ValueError: when it has no known layout, for a number out of range, a video that it does not have, a damaged
            picture, OpenCV without its contributed modules, or files that were made with other settings.
        OSError: when a file can't be written.
    """
    if not 0 < config.scale <= 1:
        raise ValueError(f"--scale must lie in 0..1 and above 0, received {config.scale}.")
    if config.num_workers < 0:
        raise ValueError(f"--num_workers must be at least 0, received {config.num_workers}.")
    if not hasattr(cv2, "ximgproc"):
        raise ValueError("Selective Search needs OpenCV's contributed modules: pip install opencv-contrib-python.")
    settings = ProposalSettings(mode=config.mode, scale=config.scale)
    jobs = find_jobs(config.root, config.videos)
    if config.overwrite:
        for job in jobs:
            remove(proposals_path(job.folder, job.video))
            remove(job.pieces_folder())
    left = [job for job in jobs if not _is_done(job, settings)]
    frames, boxes, seconds = _search_jobs(left, settings, config.num_workers or default_processes())
    return Outcome(written=len(left), skipped=len(jobs) - len(left), frames=frames, boxes=boxes, seconds=seconds)


def find_jobs(root: Path, videos: Sequence[str] = ()) -> list[Job]:
    """Return the files to write for a data set, in order; `videos` as in `ExtractConfig`.

    Raises:
        FileNotFoundError: when there is no such data set, or frames of a video are missing.
        ValueError: when it has no known layout, or not such videos.
    """
    layout = find_layout(root)
    if layout.sets:
        if videos:
            raise ValueError(f"--videos: {root} holds static pictures. Leave it out, or give a data set of videos.")
        return _with_pictures(root, [_set_job(found) for found in layout.sets])
    parts = _training_parts(layout)
    wanted = dict.fromkeys(_wanted_videos(videos))
    known = {video for part in parts for video in part.videos()}
    unknown = [video for video in wanted if video not in known]
    if unknown:
        raise ValueError(
            f"--videos: {root} lacks {len(unknown)} of {len(wanted)} videos, such as {unknown[0]}. Expected names of "
            "folders with frames, or a file with such a name on each line."
        )
    jobs = []
    for part in parts:
        names = [video for video in part.videos() if video in wanted] if wanted else part.training_videos()
        folder = proposals_folder(part.frames)
        jobs += [Job(folder=folder, video=video, pictures=list_images(part.frames / video)) for video in names]
    return _with_pictures(root, jobs)


def _search_jobs(jobs: Sequence[Job], settings: ProposalSettings, processes: int) -> tuple[int, int, float]:
    """Write the files of some jobs; return how many frames were searched, their boxes, and the seconds it took."""
    # A job of one piece is known not to be done.
    plan = [(job, [piece for piece in job.pieces() if piece is job or not _is_done(piece, settings)]) for job in jobs]
    left = [piece for _, pieces in plan for piece in pieces]
    total = sum(len(piece.pictures) for piece in left)
    began, boxes = time.monotonic(), 0
    searched = map_processes(_search, (task for piece in left for task in _tasks(piece, settings)), processes)
    with closing(with_speed(searched, total, "searching", "frames", len)) as results:
        for job, pieces in plan:
            for piece in pieces:
                boxes += _write(piece, _take(results, len(piece.pictures)), settings)
            if len(job.pictures) > PIECE:
                _join(job, settings)
        if total:
            next(results, None)  # ends the bar
    return total, boxes, time.monotonic() - began


def _search(task: _Task) -> _Found:
    found: _Found = []
    for picture in task.pictures:
        rgb = read_rgb(picture)
        found.append((find_boxes(rgb, task.settings), (rgb.shape[0], rgb.shape[1])))
    return found


def _tasks(job: Job, settings: ProposalSettings) -> Iterator[_Task]:
    pictures = tuple(job.pictures.values())
    for start in range(0, len(pictures), _FRAMES_PER_TASK):
        yield _Task(pictures=pictures[start : start + _FRAMES_PER_TASK], settings=settings)


def _take(results: Iterator[_Found], count: int) -> _Found:
    """Return the results of the next `count` pictures: tasks never hold pictures of two jobs."""
    taken: _Found = []
    while len(taken) < count:
        taken += next(results)
    return taken


def _write(job: Job, found: _Found, settings: ProposalSettings) -> int:
    """Write a job's file and return the number of its boxes."""
    header = ProposalHeader(settings=settings, frames=tuple(job.pictures))
    boxes, sizes = tuple(of_frame for of_frame, _ in found), tuple(size for _, size in found)
    write_proposals(job.folder, job.video, Proposals(header=header, boxes=boxes, sizes=sizes))
    return sum(map(len, boxes))


def _join(job: Job, settings: ProposalSettings) -> None:
    """Write a job's file from its pieces, and remove them."""
    parts = [read_all(piece.folder, piece.video) for piece in job.pieces()]
    _write(job, [found for part in parts for found in zip(part.boxes, part.sizes, strict=True)], settings)
    remove(job.pieces_folder())


def _is_done(job: Job, settings: ProposalSettings) -> bool:
    """Return whether a job's file is there and whole; raises ValueError if it was made with other settings."""
    path = proposals_path(job.folder, job.video)
    if not path.is_file():
        return False
    try:
        header = read_header(job.folder, job.video)
    except ValueError as error:
        logger.warning("%s", error)
        return False
    if header.settings != settings:
        raise ValueError(
            f"{path} was made with other settings: {header.settings}, now {settings}. Give the same --scale and "
            "--mode, or --overwrite to search all again."
        )
    if header.frames != tuple(job.pictures):
        logger.warning("%s is for other frames than there are now: searching again", path)
        return False
    return True


def _with_pictures(root: Path, jobs: Sequence[Job]) -> list[Job]:
    found = [job for job in jobs if job.pictures]
    if not found:
        raise ValueError(f"{root} holds nothing to search: expected folders of frames, or pictures x.jpg. Check it.")
    return found


def _set_job(found: StaticSet) -> Job:
    pictures = {path.relative_to(found.folder).as_posix(): path for path in found.pictures()}
    return Job(folder=found.folder, video=STATIC_NAME, pictures=pictures)


def _training_parts(layout: Layout) -> list[Part]:
    """Return the parts that training can read, if there are any: at 480p or of no named size, fully annotated."""
    parts = [part for part in layout.parts if part.frames.name in (RESOLUTIONS[0], IMAGES)]
    if not parts:
        raise ValueError(
            f"{layout.root} holds no videos that training reads: expected JPEGImages/480p or JPEGImages/VIDEO, found "
            f"{', '.join(part.name for part in layout.parts)}. Make them with scripts/resize_dataset.py."
        )
    return [part for part in parts if part.annotated == "every"] or parts


def _wanted_videos(videos: Sequence[str]) -> list[str]:
    if len(videos) == 1 and Path(videos[0]).is_file():
        names = read_names(Path(videos[0]))
        if not names:
            raise ValueError(f"--videos: list {videos[0]} is empty. Expected a video's name on each line.")
        return names
    return list(videos)


if __name__ == "__main__":
    from util.cli import run  # not above: the processes that do the work import this file, too, but need no PyTorch

    run(main, ExtractConfig, "extract_proposals.py", __doc__ or "")
