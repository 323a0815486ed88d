"""Finds the splits of DAVIS, YouTube-VOS, LongVideo and one's own; the layouts are `dataset.disk.layout`'s."""

import logging

from dataset.disk.layout import (
    Part,
    davis_base,
    davis_list,
    davis_part,
    long_video_part,
    plain_part,
    require_folder,
    youtube_every_frame,
    youtube_part,
)
from dataset.disk.meta import required_frames
from dataset.evaluate.files import Files, Query, all_videos, plain_files, read_list, require_list

logger = logging.getLogger(__name__)


def davis_2016(query: Query) -> Files:
    """Find DAVIS-2016: the videos of ImageSets/2016, else of the first release's ImageSets/480p, else all."""
    part = davis_part(query.root)
    require_folder(part.frames, "DAVIS-2016", "The root is the folder that holds JPEGImages and Annotations.")
    lists = [davis_list(query.root, release, query.split) for release in ("2016", "480p")]
    for path in lists:
        if path.is_file():
            return Files(part=part, videos=read_list(path), files=plain_files(part))
    videos = all_videos(part)
    logger.warning("no list %s: taking all %d videos in %s.", lists[0], len(videos), part.frames)
    return Files(part=part, videos=videos, files=plain_files(part))


def davis_2017(query: Query) -> Files:
    """Find a split of DAVIS-2017, or of the sample data, by its list."""
    base = davis_base(query.root, query.split)
    part = davis_part(base)
    require_folder(part.frames, f"{query.dataset} {query.split}", "The root is the folder that holds trainval.")
    videos = require_list(davis_list(base, "2017", query.split))
    return Files(part=part, videos=videos, files=plain_files(part))


def youtube_vos(query: Query) -> Files:
    """Find YouTube-VOS: all frames, the annotated ones' masks, and the videos and wanted frames of meta.json."""
    name = "valid" if query.split == "val" else "test"
    annotated, every = youtube_part(query.root / name), youtube_every_frame(query.root, name)
    what = f"{query.dataset} {query.split}"
    if query.sparse or not every.frames.is_dir():
        require_folder(annotated.frames, what, f"The root is the folder that holds {name}.")
    if not query.sparse:
        require_folder(
            every.frames,
            what,
            f"The benchmark runs on all frames: unpack {name}_all_frames.zip there, or take the annotated frames "
            "alone with --sparse (not the benchmark's protocol).",
        )
    meta = annotated.meta
    if meta is None or not meta.is_file():
        raise FileNotFoundError(f"{meta} does not exist: it lists the frames to write and comes with the data set.")
    frames = annotated.frames if query.sparse else every.frames
    part = Part(name=every.name, frames=frames, masks=annotated.masks, annotated="some")
    wanted = required_frames(meta)
    return Files(part=part, videos=tuple(sorted(wanted)), files=plain_files(part, wanted=wanted), meta=meta)


def long_videos(query: Query) -> Files:
    """Find one of the two sets of LongVideo."""
    part = long_video_part(query.root, "long_video_x3" if query.dataset == "lv3" else "long_video")
    require_folder(part.frames, query.dataset, "The root is the folder that holds long_video and long_video_x3.")
    return Files(part=part, videos=all_videos(part), files=plain_files(part))


def generic(query: Query) -> Files:
    """Find one's own videos in JPEGImages with Annotations."""
    part = plain_part(query.root)
    require_folder(part.frames, "a generic data set", "The root is the folder that holds JPEGImages and Annotations.")
    return Files(part=part, videos=all_videos(part), files=plain_files(part))
