"""Segmenting whole videos: frames in, id masks at the original size out, one frame at a time."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dataset.disk.arrays import Frames, to_rgb
from dataset.evaluate.own import open_own
from dataset.evaluate.prepare import VideoFrame, prepare_image, prepare_mask, size_without_enlarging
from dataset.evaluate.prompts import Masks, read_prompt, to_prompt
from dataset.evaluate.video import Video
from inference.config import InferenceConfig
from inference.frame_upload import FrameUpload
from inference.inputs import LateIds
from inference.interface import VOSSegmenter
from inference.segmenter import build_segmenter
from inference.stopwatch import Stopwatch
from model.network import VOSNetwork
from util.device import upload

_DECODERS = 4  # threads that read pictures for a GPU; one gives it about 130 frames a second

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SegmentedFrame:
    """A segmented frame of a video, at its original size.

    Attributes:
        name: the frame's name, without extension.
        id_mask: [H,W] uint8, or uint16 if an id exceeds 255: the user's own ids, 0 is background.
        prob: [L,H,W] float32 on the model's device: background first, then `object_ids` in order.
        object_ids: the objects known so far.
        rgb: [H,W,3] uint8, the frame itself.
        wanted: whether the benchmark asks for this frame's mask.
    """

    name: str
    id_mask: np.ndarray
    prob: Tensor
    object_ids: list[int]
    rgb: np.ndarray
    wanted: bool


def segment_video(
    model: VOSNetwork,
    frames: str | Path | Frames,
    masks: Masks,
    size: int = 480,
    config: InferenceConfig | None = None,
    *,
    device: torch.device | str | None = None,
    flip: bool = False,
    scales: Sequence[int] | None = None,
    start: int = 0,
    stop: int | None = None,
    reverse: bool = False,
) -> Iterator[SegmentedFrame]:
    """Segment a video, one frame at a time.

    Args:
        model: any network of `build_model` or `load_checkpoint`.
        frames: a folder of images or a video file; a list, array or iterator of frames, [H,W,3] uint8 or [3,H,W] float
            in 0..1. Of an iterator, such as a camera, no frame is taken before it is asked for.
        masks: a PNG or ids [H,W] for the first frame; a folder or list of PNGs named like the frames that they belong
            to; or a dictionary of frame numbers, counted from 0, or names: a PNG, ids [H,W], or a pair of ids and a
            list of those that are meant. Later masks add or correct the objects that they show.
        size: pixels of the shorter side at which the network works; a smaller video is not enlarged, and -1 is the own
            size of any. BMVOS and EMVOS work at
            the own size of a larger video with an object of fewer than 1,000 pixels at 480 (as published).
        config: settings; the defaults are those of the published results.
        device: where to compute; the model's own device by default.
        flip: average with the mirrored video.
        scales: average over these sizes, instead of `size`.
        start: the first frame that is read, counted from 0.
        stop: the frame before which reading ends; None reads to the end.
        reverse: from the last of these frames back to the first; the "first frame" above is the last one then.

    Yields:
        Every frame in the order of reading, under its own name; frames before the first mask are background.

    Raises:
        FileNotFoundError, ValueError: frames or masks that are missing or unfit, when they are reached.
    """
    variants = build_variants(model, tuple(scales or (size,)), flip=flip, config=config, device=device)
    return propagate(variants, open_own(frames, masks, start=start, stop=stop, reverse=reverse))


def step_rgb(
    segmenter: VOSSegmenter,
    rgb: np.ndarray | Tensor,
    mask: np.ndarray | Tensor | None = None,
    object_ids: list[int] | None = None,
    *,
    size: int = 480,
    last: bool = False,
) -> Tensor:
    """Segment the next frame from an 8-bit picture: resized, normalised and padded as the network wants it.

    Args:
        segmenter: of `build_segmenter`.
        rgb: [H,W,3] uint8, or [3,H,W] float in 0..1.
        mask: integer ids [H,W], as in `Segmenter.step`.
        object_ids: ids of the mask that are meant; all that occur in it by default.
        size: pixels of the shorter side at which the network works; smaller pictures, and all with -1, keep theirs.
        last: as in `Segmenter.step`.

    Returns:
        Probabilities [L,H,W] at the picture's own size; `segmenter.to_id_mask` makes ids of them.

    Raises:
        ValueError: for pictures and masks of the wrong shape, type or size.
    """
    picture = to_rgb(rgb, 0)
    size = size_without_enlarging(picture.shape, size)
    given = ids = None
    if mask is not None:
        prompt = to_prompt((mask, object_ids) if object_ids is not None else mask, "this frame")
        ids_HW, ids = read_prompt(prompt)
        if ids_HW.shape != picture.shape[:2]:
            raise ValueError(f"mask: expected {list(picture.shape[:2])} like its frame, received {list(ids_HW.shape)}")
        given = prepare_mask(ids_HW, size)
    prob = segmenter.step(prepare_image(picture, size, segmenter.resizing.bicubic), given, ids, last)
    merged = merge_probabilities([prob], picture.shape[:2])
    return merged if given is None else as_given(segmenter, ids_HW, ids or [], [prob], merged)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the ways in which a video is shown to a segmenter: the shorter side in pixels, and whether mirrored."""

    segmenter: VOSSegmenter
    size: int
    mirrored: bool


def build_variants(
    model: VOSNetwork,
    sizes: Sequence[int] = (480,),
    *,
    flip: bool = False,
    config: InferenceConfig | None = None,
    device: torch.device | str | None = None,
) -> list[Variant]:
    """Prepare a network for `propagate`: one segmenter for each size, with `flip` another one that sees it mirrored.

    Raises ValueError for sizes that are too small or given twice.
    """
    for size in sizes:
        if size != -1 and size < 16:
            raise ValueError(f"size {size}: expected the shorter side in pixels, at least 16, or -1 for native")
    if not sizes or len(set(sizes)) < len(sizes):
        raise ValueError(f"sizes {list(sizes)}: expected one or several different ones")
    first = build_segmenter(model, config, device)
    variants = []
    for size in sizes:
        for mirrored in (False, True) if flip else (False,):
            segmenter = copy.copy(first)  # shares the prepared network
            segmenter.reset()
            variants.append(Variant(segmenter=segmenter, size=size, mirrored=mirrored))
    return variants


def propagate(
    variants: Sequence[Variant],
    video: Video,
    *,
    stopwatch: Stopwatch | None = None,
    wanted_only: bool = False,
    resegment_given: bool = False,
) -> Iterator[SegmentedFrame]:
    """Segment a video, one frame at a time; the variants' probabilities are averaged at the original size.

    A frame on which a mask says where every object is has that mask as its result, pixel by pixel; `resegment_given`
    gives what is left of it after resizing. With `wanted_only` frames whose masks the benchmark does not ask for are
    segmented but not yielded.
    With a GPU a frame comes when the next one is queued, so that neither waits for the other; not with a live video.
    Raises ValueError for unfit frames and masks when they are reached.
    """
    watch = stopwatch or Stopwatch()
    queued = _queued(variants, video, watch, wanted_only, resegment_given)
    late = variants[0].segmenter.device.type == "cuda" and not video.live
    for frame in one_late(queued) if late else queued:
        with watch.waiting():
            result = frame.get()
        yield result


def _queued(
    variants: Sequence[Variant], video: Video, watch: Stopwatch, wanted_only: bool, resegment_given: bool
) -> Iterator["_Queued"]:
    """Segment a video: every frame as soon as its work is queued."""
    segmenter = variants[0].segmenter
    for variant in variants:
        variant.segmenter.reset()
    sizes = list(dict.fromkeys(variant.size for variant in variants))
    to_device = FrameUpload(segmenter.device)
    decoders = _DECODERS if to_device.normalises else 1
    frames = video.frames(sizes, segmenter.resizing, decoders=decoders, normalised=not to_device.normalises)
    for frame in frames:
        watch.start(segmenter.device)
        images = to_device.images(frame)
        probs = [_step(variant, frame, images[variant.size]) for variant in variants]
        result = _Queued(segmenter, frame, probs, resegment_given) if frame.wanted or not wanted_only else None
        if segmenter.object_ids:  # frames before the first mask cost nothing: they would flatter the figure
            watch.stop()
        if result is not None:
            yield result


def one_late(items: Iterator[T]) -> Iterator[T]:
    """Yield every item when the next one is there; the last at the end, or before an error is raised."""
    held: list[T] = []
    try:
        for item in items:
            held.append(item)
            if len(held) > 1:
                yield held.pop(0)
    except Exception:
        yield from held
        raise
    yield from held


@torch.no_grad()
def merge_probabilities(probs: Sequence[Tensor], size: tuple[int, ...]) -> Tensor:
    """Resize probability maps [L,·,·] bilinearly to `size` (height, width) and average them: [L,H,W].

    Probabilities are resized, not masks: the argmax of resized probabilities has smooth outlines.
    """
    total = None
    for prob in probs:
        resized = prob
        if tuple(prob.shape[-2:]) != size:
            resized = F.interpolate(prob[None], size=size, mode="bilinear", align_corners=False)[0]
        total = resized if total is None else total + resized
    if total is None:
        raise ValueError("merge_probabilities: expected at least one map, received none")
    return total if len(probs) == 1 else total / len(probs)


def _step(variant: Variant, frame: VideoFrame, image: Tensor) -> Tensor:
    mask = frame.at_size[variant.size].mask
    if variant.mirrored:
        image, mask = image.flip(-1), None if mask is None else mask.flip(-1)
    prob = variant.segmenter.step(image, mask, frame.object_ids, frame.last)
    return prob.flip(-1) if variant.mirrored else prob


class _Queued:
    """A frame whose result the device may still be computing."""

    def __init__(
        self, segmenter: VOSSegmenter, frame: VideoFrame, probs: Sequence[Tensor], resegment_given: bool
    ) -> None:
        prob = merge_probabilities(probs, frame.rgb.shape[:2])
        if frame.given is not None and not resegment_given:
            prob = as_given(segmenter, frame.given, frame.object_ids or [], probs, prob)
        self._frame, self._prob, self._object_ids = frame, prob, list(segmenter.object_ids)
        self._ids = LateIds(prob, self._object_ids)

    def get(self) -> SegmentedFrame:
        """Wait for it."""
        return SegmentedFrame(
            name=self._frame.name,
            id_mask=self._ids.get(),
            prob=self._prob,
            object_ids=self._object_ids,
            rgb=self._frame.rgb,
            wanted=self._frame.wanted,
        )


def as_given(
    segmenter: VOSSegmenter, given_HW: np.ndarray, ids: Sequence[int], probs: Sequence[Tensor], merged: Tensor
) -> Tensor:
    """Return a given mask as probabilities of 0 and 1 [L,H,W], if it says where every object is; else `merged`.

    Resizing to the network's size and back moves outlines. Where nothing was resized, `probs` are the mask as they are.
    """
    known = segmenter.object_ids
    resized = any(prob.shape[-2:] != merged.shape[-2:] for prob in probs)
    if not resized or not set(known) <= set(ids):
        return merged
    objects = np.stack([given_HW == i for i in known])
    labels = np.concatenate([~objects.any(axis=0, keepdims=True), objects])
    return upload(torch.from_numpy(labels.astype(np.float32)), merged.device)
