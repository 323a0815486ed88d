"""Pasting another clip's object onto a clip, with its own motion: frames, masks, views and boxes change together.

Where the clip has room for one more object, that is what it becomes, before the clip's own objects or behind them.
Clips of data sets with one object a video so become clips of several, which hide each other. Where there is no room,
the pasted object is background and before all others: a distractor that looks real and sometimes hides what is
followed, as published for BMVOS and EMVOS, which follow one object, with probability 0.2.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from dataset.clip import Clip, ClipRequest
from dataset.train.pairs import replace_annotated
from dataset.train.render import visible_objects
from util.comparison import Comparison
from util.seeds import clip_rng


class Donor(NamedTuple):
    """Whose object is pasted, and where.

    Attributes:
        request: of the clip that has it.
        behind: whether it is to be behind the clip's own objects, if it becomes one more.
    """

    request: ClipRequest
    behind: bool


def draw_donor(request: ClipRequest, videos: int, alike: range, probability: float) -> Donor | None:
    """Draw whether a clip gets another clip's object, from the clip's own seed, and request that other clip.

    Args:
        request: of the clip.
        videos: number of videos of its source; with one there is no other to paste from.
        alike: the numbers among them that stand for the clip's own video.
        probability: in 0..1; 0 draws nothing.

    Returns:
        A clip of another video of the same source, under the same rules, or None.
    """
    others = videos - len(alike)
    if not probability or not others:
        return None
    rng = clip_rng(request.seed, "paste")
    if rng.random() >= probability:
        return None
    video = (alike.stop + int(rng.integers(others))) % videos
    donor = replace(request, video=video, seed=int(rng.integers(2**63)), frames=None)
    return Donor(donor, behind=bool(rng.random() < 0.5))


def paste_object(
    clip: Clip, donor: Clip, behind: bool = False, most: int = 1, smallest: int = 0, annotated: bool = True
) -> Clip:
    """Put the object of `donor` onto a clip, frame by frame.

    A clip in whose first frame, where masks are given, one of its objects or the pasted one would hardly be seen stays
    as it is. In the two frames of a clip for the correspondence losses whose equal positions correspond, the pasted
    object is the same.

    Args:
        clip: as long and as large as the donor.
        donor: with one object; both were augmented and cropped on their own.
        behind: whether the pasted object is behind the clip's own, if it becomes one more.
        most: objects that a clip may have.
        smallest: pixels of the first frame that each object must keep, as in `visible_objects`.
        annotated: whether boxes of annotated objects are compared, if anything is.

    Returns:
        The clip with all that shows it changed together; its matrices and its seed are what they were.
    """
    number = clip.objects + 1 if clip.objects < most else 0
    frames = _donor_frames(clip)
    shown_THW, pasted_T3HW = donor.labels_THW[frames] > 0, donor.images_T3HW[frames]
    if behind and number:
        shown_THW &= clip.labels_THW == 0
    labels_THW = clip.labels_THW.masked_fill(shown_THW, number)
    objects = max(clip.objects, number)
    if len(visible_objects(labels_THW[0].numpy(), smallest)) < objects:
        return clip
    compared, views = clip.compared, clip.views_V3HW
    if compared is not None and views is not None:
        views = _paste_views(views, compared, pasted_T3HW, shown_THW)
    if compared is not None and annotated:
        compared = replace_annotated(compared, labels_THW.numpy(), objects)
    return replace(
        clip,
        images_T3HW=torch.where(shown_THW[:, None], pasted_T3HW, clip.images_T3HW),
        labels_THW=labels_THW,
        objects=objects,
        views_V3HW=views,
        compared=compared,
        name=f"{clip.name} with an object of {donor.name}",
    )


def _donor_frames(clip: Clip) -> Sequence[int]:
    """Which of the donor's frames goes onto each frame."""
    frames = list(range(len(clip.labels_THW)))
    if clip.compared is not None and _is_pair(clip.compared):
        pair = int(clip.compared.pair_B)
        frames[pair + 1] = pair
    return frames


def _is_pair(compared: Comparison) -> bool:
    # The released variant has a view of every frame, and compares no successive frames.
    return compared.view_matrices_BV33.shape[1] < 2


def _paste_views(views_V3HW: Tensor, compared: Comparison, pasted_T3HW: Tensor, shown_THW: Tensor) -> Tensor:
    """Return the views with what was pasted, taken from the crops."""
    size = views_V3HW.shape[-2:][::-1]
    result = []
    for v, view in enumerate(views_V3HW.permute(0, 2, 3, 1).numpy()):
        t = int(compared.pair_B) if _is_pair(compared) else v
        matrix = compared.view_matrices_BV33[0, v, :2].double().numpy()
        mask = cv2.warpAffine(shown_THW[t].numpy().astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
        picture = np.ascontiguousarray(pasted_T3HW[t].permute(1, 2, 0).numpy())
        moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result.append(np.where(mask[..., None] > 0, moved, view))
    return torch.from_numpy(np.stack(result)).permute(0, 3, 1, 2)
