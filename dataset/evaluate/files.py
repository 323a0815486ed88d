"""What is looked for when a benchmark is opened, and what is found: where its videos have their frames and masks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dataset.disk.frames import FrameSource
from dataset.disk.layout import Part
from dataset.disk.lists import read_names
from dataset.disk.masks import MatchMasks, StoredMask, match_masks


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is looked for.

    Attributes:
        dataset: the short name.
        split: the split.
        root: the data set's folder.
        sparse: of YouTube-VOS take the annotated frames alone.
    """

    dataset: str
    split: str
    root: Path
    sparse: bool = False


@dataclass(frozen=True, kw_only=True)
class VideoFiles:
    """Where one video is.

    Attributes:
        frames: the folder of its frames.
        masks: finds the masks of its frames, in their order; the second argument says that the first needs one.
        images: file names of the frames that are run, in order; None for all in the folder.
        wanted: names of the frames whose results are wanted; None for all.
        objects: of a video whose objects have a folder of masks each, their ids by the folders' names.
    """

    frames: Path
    masks: Callable[[FrameSource, bool], Mapping[str, Path | StoredMask]]
    images: tuple[str, ...] | None = None
    wanted: frozenset[str] | None = None
    objects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Files:
    """What was found.

    Attributes:
        part: the folders of frames and masks.
        videos: names in the order of the list.
        files: where each of them is.
        meta: the file that lists the wanted frames or the given masks, if there is one.
        metric_meta: the file that the metric reads beside the masks.
        metric_list: its list of names.
    """

    part: Part
    videos: tuple[str, ...]
    files: Callable[[str], VideoFiles]
    meta: Path | None = None
    metric_meta: Path | None = None
    metric_list: Path | None = None


def plain_files(
    part: Part, match: MatchMasks = match_masks, wanted: Mapping[str, set[str]] | None = None
) -> Callable[[str], VideoFiles]:
    """Return what finds a video of a part by name: a folder of frames and one of masks.

    Args:
        part: the folders of all videos.
        match: finds the masks of the frames in such a folder.
        wanted: of each video the frames whose results are wanted; None for all.
    """
    return partial(_plain, part, match, wanted)


def _plain(part: Part, match: MatchMasks, wanted: Mapping[str, set[str]] | None, video: str) -> VideoFiles:
    assert part.masks is not None
    return VideoFiles(
        frames=part.frames / video,
        masks=partial(_match, match, part.masks / video),
        wanted=None if wanted is None or video not in wanted else frozenset(wanted[video]),
    )


def _match(match: MatchMasks, folder: Path, source: FrameSource, first_frame: bool) -> Mapping[str, Path | StoredMask]:
    return match(source, folder, first_frame=first_frame)


def read_list(path: Path) -> tuple[str, ...]:
    """Read a split's list of videos; raises as `read_names`, and ValueError for an empty one."""
    videos = tuple(read_names(path))
    if not videos:
        raise ValueError(f"list of videos {path} is empty: expected one name per line.")
    return videos


def require_list(path: Path) -> tuple[str, ...]:
    """Read a split's list of videos that must be there; raises as `read_list`, and FileNotFoundError without it."""
    if not path.is_file():
        raise FileNotFoundError(f"list of videos {path} does not exist. It comes with the data set; or write it.")
    return read_list(path)


def all_videos(part: Part) -> tuple[str, ...]:
    """Return all videos of a part; ValueError for none."""
    videos = tuple(part.videos())
    if not videos:
        raise ValueError(f"no videos in {part.frames}: expected a folder of frames for each video.")
    return videos
