"""Finds the splits of MOSE, LVOS, VOST, BURST and SA-V; the layouts are `dataset.disk.layout`'s."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dataset.disk.burst import BurstSequence, read_burst
from dataset.disk.frames import FrameSource
from dataset.disk.layout import (
    burst_part,
    first_file,
    lvos_part,
    mose_part,
    require_folder,
    sav_base,
    sav_part,
    vost_part,
)
from dataset.disk.masks import StoredMask, match_object_masks, match_void_masks, object_folders
from dataset.disk.meta import lvos_frames
from dataset.evaluate.files import Files, Query, VideoFiles, all_videos, plain_files, require_list


def mose(query: Query) -> Files:
    """Find a split of MOSE v1 or v2: all videos in valid or train."""
    name = {"val": "valid"}.get(query.split, query.split)
    part = mose_part(query.root / name)
    require_folder(part.frames, f"{query.dataset} {query.split}", f"The root is the folder that holds {name}.")
    return Files(
        part=part,
        videos=all_videos(part),
        files=plain_files(part),
        metric_meta=first_file(query.root / f"meta_{name}.json", query.root / name / f"meta_{name}.json"),
    )


def lvos(query: Query) -> Files:
    """Find a split of LVOS v1 or v2: the videos of its meta.json, else all."""
    names = ("valid", "val") if query.split == "val" else (query.split,)
    part = next((part for name in names if (part := lvos_part(query.root / name)).frames.is_dir()), None)
    if part is None:
        part = lvos_part(query.root / names[0])
        require_folder(part.frames, f"{query.dataset} {query.split}", f"The root is the folder that holds {names[0]}.")
    base = part.frames.parent
    meta = first_file(*(place / f"{name}_meta.json" for place in (base, query.root) for name in names))
    return Files(
        part=part,
        videos=all_videos(part) if meta is None else tuple(lvos_frames(meta)),
        files=plain_files(part),
        metric_meta=meta,
        metric_list=first_file(base / "unseen_videos.txt", query.root / "unseen_videos.txt"),
    )


def vost(query: Query) -> Files:
    """Find a split of VOST by its list; 255 in a mask is not annotated."""
    part = vost_part(query.root)
    require_folder(part.frames, "VOST", "The root is the folder that holds JPEGImages, Annotations and ImageSets.")
    (listed,) = (path for path in part.lists if path.stem == query.split)
    return Files(part=part, videos=require_list(listed), files=plain_files(part, match_void_masks))


def sav(query: Query) -> Files:
    """Find a split of SA-V by its list: frames at 24 a second, masks at 6, a folder for each object."""
    base = sav_base(query.root, query.split)
    part = sav_part(base, query.split)
    assert part.masks is not None
    require_folder(part.frames, f"sav {query.split}", f"The root is the folder that holds sav_{query.split}.")
    return Files(part=part, videos=require_list(part.lists[0]), files=partial(_sav_files, part.frames, part.masks))


def _sav_files(frames: Path, masks: Path, video: str) -> VideoFiles:
    return VideoFiles(
        frames=frames / video,
        masks=partial(_sav_masks, masks / video),
        objects=object_folders(masks / video),
    )


def _sav_masks(folder: Path, source: FrameSource, first_frame: bool) -> Mapping[str, StoredMask]:
    return match_object_masks(source, folder, first_frame=first_frame)


def burst(query: Query) -> Files:
    """Find a split of BURST by its annotation files: the tracks' first masks, and the annotated frames to write."""
    part = burst_part(query.root, query.split)
    assert part.masks is not None
    require_folder(part.frames, f"burst {query.split}", "The root is the folder that holds frames, val and test.")
    folder = part.masks
    truth = first_file(folder / "all_classes.json")
    given = first_file(folder / "first_frame_annotations.json") or truth
    if given is None:
        raise FileNotFoundError(
            f"{folder} holds neither first_frame_annotations.json nor all_classes.json: expected BURST's annotations "
            f"of {query.split}. Unpack them there."
        )
    sequences = read_burst(given).sequences
    return Files(
        part=part,
        videos=tuple(sequences),
        files=partial(_burst_files, part.frames, sequences),
        meta=given,
        metric_meta=truth,
    )


def _burst_files(frames: Path, sequences: Mapping[str, BurstSequence], video: str) -> VideoFiles:
    found = sequences[video]
    return VideoFiles(
        frames=frames / found.dataset / found.sequence,
        masks=partial(_burst_masks, found),
        images=found.images,
        wanted=frozenset(found.masks),
    )


def _burst_masks(sequence: BurstSequence, source: FrameSource, first_frame: bool) -> Mapping[str, StoredMask]:
    masks = {name: sequence.masks[name] for name in source.names if name in sequence.masks}
    given = {name: mask for name, mask in masks.items() if mask.counts}
    if not given:
        raise ValueError(f"{sequence.name}: no frame has a mask. Remove the sequence from the annotations.")
    return given
