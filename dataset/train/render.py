"""What video and static sources share: from drawn frames and transforms to a finished clip."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch

from dataset.clip import Clip, ClipRequest
from dataset.train.pairs import Pairing, make_comparison, render_view
from dataset.train.transforms import FrameTransform, apply_colour, decode_reduction, warp_image, warp_mask
from util.files.palette import count_ids
from util.seeds import clip_rng

# An object counts when it covers at least this share of the crop: 8 pixels at 128x128, 72 at 384x384.
_SMALLEST_SHARE = 1 / 2048
_TRIES_PER_VIDEO = 5


def attempts(request: ClipRequest, videos: int) -> Iterator[tuple[int, int, np.random.Generator]]:
    """Yield which video to try next, the number of tries before, and the randomness of the try.

    The rule: five tries in the requested video, then five in each that follows it in the source.
    """
    for number in range(videos * _TRIES_PER_VIDEO):
        video = (request.video + number // _TRIES_PER_VIDEO) % videos
        yield video, number, clip_rng(request.seed, number)


def visible_objects(cropped_ids: np.ndarray, smallest: int = 0) -> list[int]:
    """Return the ids that cover at least `smallest` pixels (0: a small share) of a crop [S,S], ascending."""
    counts = count_ids(cropped_ids)
    counts[0] = 0
    return [int(i) for i in np.flatnonzero(counts >= (smallest or max(cropped_ids.size * _SMALLEST_SHARE, 1)))]


def render_clip(
    read_image: Callable[[int, int], np.ndarray],
    masks: Sequence[np.ndarray],
    transforms: Sequence[FrameTransform],
    ids: Sequence[int],
    *,
    seed: int,
    name: str,
    redraws: int,
    pairing: Pairing | None = None,
) -> Clip:
    """Resample and colour the frames of a clip.

    Args:
        read_image: returns frame t decoded at 1/reduction of its size.
        masks: ids [H,W] of every frame, all of one size.
        transforms: one for every frame.
        ids: the ids that become objects 1, 2, ...; all others become background.
        seed: for the clip.
        name: for the clip.
        redraws: for the clip.
        pairing: what the correspondence losses compare; None without them.
    """
    images, labels, views = [], [], []
    for t, (mask, transform) in enumerate(zip(masks, transforms, strict=True)):
        reduction = decode_reduction(transform)
        image = read_image(t, reduction)
        _check_size(image, mask, reduction, name)
        images.append(apply_colour(warp_image(image, transform, reduction), transform))
        labels.append(_relabel(warp_mask(mask, transform), ids))
        if pairing is not None and t in pairing.views:
            views.append(render_view(image, pairing.views[t], reduction))
    return Clip(
        images_T3HW=_pictures(images),
        labels_THW=torch.from_numpy(np.stack(labels)),
        objects=len(ids),
        matrices_T33=torch.from_numpy(np.stack([transform.matrix for transform in transforms]).astype(np.float32)),
        warped_T=torch.tensor([transform.field is not None for transform in transforms]),
        seed=seed,
        name=name,
        redraws=redraws,
        views_V3HW=_pictures(views) if views else None,
        compared=None if pairing is None else make_comparison(pairing, labels, transforms, len(ids), seed),
    )


def _pictures(images: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _relabel(ids_HW: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    table = np.zeros(np.iinfo(ids_HW.dtype).max + 1, np.uint8)
    table[list(ids)] = np.arange(1, len(ids) + 1)
    return cv2.LUT(ids_HW, table) if len(table) == 256 else table[ids_HW]


def _check_size(image: np.ndarray, mask: np.ndarray, reduction: int, name: str) -> None:
    # A reduced picture may have one row or column more or less, depending on who reduced it.
    differences = [abs(a - b / reduction) for a, b in zip(image.shape, mask.shape, strict=False)]
    if max(differences) >= 1 or (reduction == 1 and max(differences) > 0):
        height, width = (side * reduction for side in image.shape[:2])
        about = "about " if reduction > 1 else ""
        raise ValueError(
            f"{name}: a frame is {about}{height}x{width} (height x width), its mask {mask.shape[0]}x{mask.shape[1]}. "
            "Frames and masks must have the same size."
        )
