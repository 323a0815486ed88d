"""What the correspondence losses need beside a clip's frames: a shared geometry, second views of frames, and boxes.

Boxes are left, top, right, bottom edges in pixels, 0 at the left and upper edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeGuard

import cv2
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from dataset.disk.proposals import fits_rules
from dataset.train.geometry import flip, window
from dataset.train.sampling import draw_pair
from dataset.train.transforms import (
    FrameTransform,
    Pictures,
    apply_colour,
    decode_reduction,
    draw_frame_jitter,
    warp_image,
)
from util.comparison import Comparison
from util.config.data import Augmentation
from util.config.train import CorrespondenceConfig

MOST_PROPOSALS = 128


class Pairing(NamedTuple):
    """What is drawn of a clip's `Comparison` before its pictures are read.

    Attributes:
        pair: index in the clip of frame t.
        anchor: index in the clip of the anchor frame.
        views: by index in the clip, what happens to a frame for its view.
        annotated: whether the boxes of annotated objects count.
        proposals: boxes [N,4] in the original pictures of frame t and of the anchor frame: left, top, right, bottom
            edges; none if there are none.
    """

    pair: int
    anchor: int
    views: Mapping[int, FrameTransform]
    annotated: bool = False
    proposals: tuple[np.ndarray, ...] = ()


def uses_proposals(correspondence: CorrespondenceConfig | None) -> bool:
    """Return whether objects are compared and proposals count as such."""
    return _compares_objects(correspondence) and correspondence.ocl_objects != "manual"


def uses_annotated(correspondence: CorrespondenceConfig | None) -> bool:
    """Return whether objects are compared and annotated ones count as such."""
    return _compares_objects(correspondence) and correspondence.ocl_objects != "auto"


def _compares_objects(correspondence: CorrespondenceConfig | None) -> TypeGuard[CorrespondenceConfig]:
    return correspondence is not None and correspondence.active and correspondence.ocl and correspondence.beta > 0


def draw_pairing(
    rng: np.random.Generator,
    frames: Sequence[int],
    transforms: Sequence[FrameTransform],
    augmentation: Augmentation,
    correspondence: CorrespondenceConfig,
    min_gap: int = 0,
) -> tuple[list[FrameTransform], Pairing]:
    """Draw which frames of a clip are compared, and their views.

    Args:
        rng: source of randomness.
        frames: frame indices of the clip.
        transforms: of these frames.
        augmentation: size of the crop and range of the colour change.
        correspondence: what the losses want. For the released variant, frame t is the first of the clip, the anchor
            the last.
        min_gap: as in `draw_pair`.

    Returns:
        The transforms, among which two successive frames share one geometry (but for the released variant), and what
        is compared, without proposals.

    Raises:
        ValueError: when no neighbours follow each other in the video.
    """
    if correspondence.released:
        shared, pair, anchor = list(transforms), 0, len(frames) - 1
    else:
        pair, anchor = draw_pair(rng, frames, min_gap)
        shared = share_geometry(transforms, pair)
    views = draw_views(rng, shared, pair, augmentation, correspondence)
    return shared, Pairing(pair=pair, anchor=anchor, views=views, annotated=uses_annotated(correspondence))


def share_geometry(transforms: Sequence[FrameTransform], pair: int) -> list[FrameTransform]:
    """Give frame `pair + 1` the matrix and the spline of frame `pair`; it keeps its own colours."""
    first = transforms[pair]
    follower = transforms[pair + 1]._replace(matrix=first.matrix, field=first.field)
    return [*transforms[: pair + 1], follower, *transforms[pair + 2 :]]


def draw_views(
    rng: np.random.Generator,
    transforms: Sequence[FrameTransform],
    pair: int,
    augmentation: Augmentation,
    correspondence: CorrespondenceConfig,
) -> dict[int, FrameTransform]:
    """Draw the views of a clip: a square window of the crop, mirrored with probability 1/2, and resized.

    Window and mirroring are one for the clip. Each view has a colour change of its own on top of the clip's.

    Args:
        rng: source of randomness.
        transforms: of the clip's frames.
        pair: index in the clip of frame t.
        augmentation: size of the crop and range of the colour change.
        correspondence: size of the window and of the view, and the variant.

    Returns:
        By index in the clip: frame t, or, for the released variant, all frames at the crop's size. Without the pixel
        loss there are none.
    """
    if not correspondence.pcl:
        return {}
    size, released = augmentation.crop_size, correspondence.released
    side = size if released else correspondence.view_side(size)
    width = size * rng.uniform(*correspondence.view_scale)
    left, top = rng.uniform(0, size - width, size=2)
    to_view = window(left, top, width, width, side)
    if rng.random() < 0.5:
        to_view = flip(side) @ to_view
    views = {}
    for t in range(len(transforms)) if released else (pair,):
        view = compose(transforms[t], to_view, side)
        jitter = draw_frame_jitter(rng, augmentation, Pictures(size, size, static=False))
        views[t] = view._replace(colours={**view.colours, "frame_jitter": jitter})
    return views


def compose(transform: FrameTransform, matrix: np.ndarray, size: int) -> FrameTransform:
    """Follow a frame's transform by a `matrix` [3,3] that takes its crop to another of `size` pixels a side.

    A spline is carried along: the two crops differ by the matrix alone.
    """
    field = transform.field
    if field is not None:
        moved = cv2.warpAffine(field, matrix[:2], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        field = cv2.transform(moved, matrix[:2])
    return transform._replace(matrix=matrix @ transform.matrix, field=field, size=size)


def render_view(image: np.ndarray, view: FrameTransform, reduction: int) -> np.ndarray:
    """Resample and colour a view [S,S,3] uint8 of a picture [H,W,3] uint8 decoded at 1/`reduction` of its size."""
    # A view may show the picture smaller than the crop for which it was decoded.
    further = max(decode_reduction(view) // reduction, 1)
    if further > 1:
        rows, columns = (max(side // further, 1) for side in image.shape[:2])
        whole = image[: rows * further, : columns * further]
        image = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return apply_colour(warp_image(image, view, reduction * further), view)


def make_comparison(
    pairing: Pairing, labels: Sequence[np.ndarray], transforms: Sequence[FrameTransform], objects: int, seed: int
) -> Comparison:
    """Return what the losses compare in a finished clip.

    Args:
        pairing: what was drawn.
        labels: of each frame's crop [S,S], objects 1..`objects`.
        transforms: of each frame.
        objects: number of objects.
        seed: of the clip.
    """
    boxes, ids = [], []
    for place, t in enumerate((pairing.pair, pairing.anchor)):
        found, numbers = annotated_boxes(labels[t], objects if pairing.annotated else 0)
        if pairing.proposals:
            proposals = crop_proposals(pairing.proposals[place], transforms[t].matrix, transforms[t].size)
            found = np.concatenate([found, proposals])
            numbers = np.concatenate([numbers, np.zeros(len(proposals), np.int64)])
        boxes.append(torch.from_numpy(found))
        ids.append(torch.from_numpy(numbers))
    to_view = [view.matrix @ np.linalg.inv(transforms[t].matrix) for t, view in pairing.views.items()]
    return Comparison(
        seeds=(seed,),
        pair_B=torch.tensor([pairing.pair]),
        anchor_B=torch.tensor([pairing.anchor]),
        view_matrices_BV33=torch.from_numpy(np.array(to_view, np.float32).reshape(1, -1, 3, 3)),
        boxes_B2N4=_pad(boxes),
        box_ids_B2N=_pad(ids, -1),
    )


def replace_annotated(compared: Comparison, labels_THW: np.ndarray, objects: int) -> Comparison:
    """Return what is compared of a clip with the boxes of its annotated objects anew; proposals stay.

    Args:
        compared: of one clip.
        labels_THW: of its frames' crops, objects 1..`objects`.
        objects: number of objects.
    """
    boxes, ids = [], []
    for place, t in enumerate((int(compared.pair_B), int(compared.anchor_B))):
        found, numbers = annotated_boxes(labels_THW[t], objects)
        proposals = compared.box_ids_B2N[0, place] == 0
        boxes.append(torch.cat([torch.from_numpy(found), compared.boxes_B2N4[0, place, proposals]]))
        ids.append(torch.cat([torch.from_numpy(numbers), compared.box_ids_B2N[0, place, proposals]]))
    return replace(compared, boxes_B2N4=_pad(boxes), box_ids_B2N=_pad(ids, -1))


def _pad(rows: Sequence[torch.Tensor], value: float = 0) -> torch.Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value)[None]


def annotated_boxes(labels_HW: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes [N,4] float32 around the objects 1..`objects` that can be seen, and which they are [N] int64."""
    found = []
    for number in range(1, objects + 1):
        mask = labels_HW == number
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(rows):
            found.append((number, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    table = np.array(found, np.int64).reshape(-1, 5)
    return table[:, 1:].astype(np.float32), table[:, 0]


def warp_boxes(boxes_N4: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Take boxes of the original picture to the crop: around their warped corners, clipped to the crop.

    Args:
        boxes_N4: left, top, right, bottom edges in the original picture.
        matrix: [3,3], takes pixel centres of the original picture to the crop. A spline on top of it does not count:
            it moves corners by a few pixels.
        size: side of the crop.

    Returns:
        [N,4] float32; a box outside the crop has no area.
    """
    corners = boxes_N4[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).astype(np.float64)
    # Matrices count from the centre of the first pixel, boxes from its edge.
    warped = (corners - 0.5) @ matrix[:2, :2].T + matrix[:2, 2] + 0.5
    return np.concatenate([warped.min(axis=1), warped.max(axis=1)], axis=1).clip(0, size).astype(np.float32)


def crop_proposals(boxes_N4: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the proposals [M,4] float32 of a crop, from those of the original picture.

    Those are left out that the paper's rules for shape and area would not keep in the crop. Of more than
    `MOST_PROPOSALS` the first are taken: a file's order has no meaning.
    """
    warped = warp_boxes(boxes_N4, matrix, size)
    return warped[fits_rules(warped, size, size)][:MOST_PROPOSALS]
