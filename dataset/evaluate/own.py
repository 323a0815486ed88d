"""Videos of a user's own, from files or from a program, as a whole or a stretch, forwards or backwards."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dataset.disk.arrays import ArrayFrames, Frames, StreamFrames, Stretch
from dataset.disk.frames import FrameSource, open_frames
from dataset.disk.masks import match_masks
from dataset.evaluate.prompts import Masks, Prompt, by_frame, to_prompt
from dataset.evaluate.video import Video


def open_own(
    frames: str | os.PathLike[str] | Frames,
    masks: Masks,
    *,
    start: int = 0,
    stop: int | None = None,
    reverse: bool = False,
) -> Video:
    """Open a user's video.

    Args:
        frames: a folder of images, a video file, a list or array of frames ([H,W,3] uint8 or [3,H,W] float in 0..1), or
            an iterator of such frames, which is taken from no further than to the frame that is asked for.
        masks: a PNG or ids [H,W] for the frame where segmenting begins; a folder or list of PNGs named like their
            frames (for a film or a program's frames: by number); or a dictionary of frame numbers, counted from 0, or
            names: a PNG, an array, or a pair of an array and the ids that are meant. Later ones add or correct objects.
        start: the first frame that is read, counted from 0.
        stop: the frame before which reading ends; None reads to the end.
        reverse: from the last of these frames back to the first.

    Raises:
        FileNotFoundError: when frames or masks are missing.
        ValueError: when they are unfit, there is no mask for any of the frames, or a stream is to be read backwards.
    """
    if isinstance(frames, Iterator):
        if reverse:
            raise ValueError("reverse=True: a stream can't be read backwards; give a list, a folder or a film")
        stream = StreamFrames(frames, start, stop)
        return Video("stream", stream, _masks_of_stream(masks, start), rule="every", enlarge=False)
    source = _source(frames)
    stretch = Stretch(source, start, stop, reverse)
    found = _masks(source, masks, stretch.names[0])
    inside = {name: found[name] for name in stretch.names if name in found}
    if not inside:
        raise ValueError(
            f"no mask for frames {stretch.names[0]} to {stretch.names[-1]} of {source.path}: the masks given are for "
            f"{', '.join(list(found)[:5]) or 'none'}"
        )
    name = source.path.stem if source.path.is_file() else source.path.resolve().name
    return Video(name, stretch, inside, enlarge=False)


def _source(frames: str | os.PathLike[str] | Frames) -> FrameSource:
    if isinstance(frames, str | os.PathLike):
        return open_frames(Path(frames))
    sequence: Any = frames if isinstance(frames, Sequence | np.ndarray | Tensor) else list(frames)
    return ArrayFrames(sequence)


def _masks(source: FrameSource, masks: Masks, first: str) -> Mapping[str, Path | Prompt]:
    if isinstance(masks, Mapping):
        return by_frame(masks, source.names)
    if isinstance(masks, str | os.PathLike) and not Path(masks).is_file():
        if not Path(masks).is_dir():
            raise FileNotFoundError(f"mask {masks} does not exist: expected a mask PNG or a folder of them.")
        return match_masks(source, Path(masks))
    if isinstance(masks, list):
        return by_frame({_frame_of(Path(file), source.names): file for file in masks}, source.names)
    return {first: to_prompt(masks, first)}  # type: ignore[arg-type]


def _frame_of(file: Path, names: Sequence[str]) -> str:
    number = f"{int(file.stem):05d}" if file.stem.isdecimal() else file.stem
    return file.stem if file.stem in names else number


def _masks_of_stream(masks: Masks, start: int) -> Mapping[str, Path | Prompt]:
    if isinstance(masks, Mapping):
        return by_frame(masks, None)
    if isinstance(masks, list) or (isinstance(masks, str | os.PathLike) and Path(masks).is_dir()):
        raise ValueError("masks of a stream: expected one mask or a dictionary of frame numbers, received files")
    first = f"{start:05d}"
    return {first: to_prompt(masks, first)}  # type: ignore[arg-type]
