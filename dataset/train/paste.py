"""Pasting another clip's object onto a clip: a distractor that looks real and sometimes hides what is followed.

Published for BMVOS and EMVOS, with probability 0.2. The pasted object is background: these networks follow one object,
and that is the clip's own. What it covers is no longer to be seen, so the mask loses it too.
"""

from dataclasses import replace

import torch

from dataset.clip import Clip, ClipRequest
from dataset.train.render import visible_objects
from util.seeds import clip_rng


def draw_donor(request: ClipRequest, videos: int, probability: float) -> ClipRequest | None:
    """Draw whether a clip gets another clip's object, from the clip's own seed, and request that other clip.

    Args:
        request: of the clip.
        videos: number of videos of its source; with one there is no other to paste from.
        probability: in 0..1; 0 draws nothing.

    Returns:
        The request of a clip of another video of the same source, under the same rules, or None.
    """
    if not probability or videos < 2:
        return None
    rng = clip_rng(request.seed, "paste")
    if rng.random() >= probability:
        return None
    video = (request.video + int(rng.integers(1, videos))) % videos
    return replace(request, video=video, seed=int(rng.integers(2**63)), frames=None)


def paste_object(clip: Clip, donor: Clip, smallest: int = 0) -> Clip:
    """Put the objects of `donor` in front of a clip, frame by frame, as background.

    A clip that would lose one of its own objects in the first frame, where its mask is given, stays as it is; so does
    one for the correspondence losses, whose views and boxes show nothing pasted.

    Args:
        clip: as long and as large as the donor.
        donor: both were augmented and cropped on their own.
        smallest: pixels of the first frame that each object of the clip must keep, as in `visible_objects`.

    Returns:
        The clip with frames and masks changed together; its matrices and its seed are what they were.
    """
    if clip.compared is not None:
        return clip
    covered_THW = donor.labels_THW > 0
    labels_THW = clip.labels_THW.masked_fill(covered_THW, 0)
    if len(visible_objects(labels_THW[0].numpy(), smallest)) < clip.objects:
        return clip
    return replace(
        clip,
        images_T3HW=torch.where(covered_THW[:, None], donor.images_T3HW, clip.images_T3HW),
        labels_THW=labels_THW,
        name=f"{clip.name} with an object of {donor.name}",
    )
