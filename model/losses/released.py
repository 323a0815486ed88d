"""The pixel-level loss as the authors of the correspondence paper released it, for comparison; it is not the paper's.

Every frame of a clip has a second view: one crop and flip for the whole clip. Anchors are 64 features of the clip's
first frame. What a frame's second view resembles most among them is the pseudo-label of the same place in the frame
itself. A second term tells a few points of the first frame from all others. Both act on an extra key head.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.affinity import similarity
from model.losses.contrast import Candidates, Queries, contrast, take_positions
from model.losses.draws import ANCHOR_CELLS, draw_positions
from util.seeds import clip_rng

# Both are multiplied by w, which is 0 for the first fifth of the run and rises linearly to 1 at three fifths.
TEMPORAL_WEIGHT = 0.20
FRAME_WEIGHT = 0.04
POINT_CELLS = 4


def draw_released(seeds: Sequence[int], grid: tuple[int, int], view_grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw anchors and points of every clip from its own seed: one in each of 8 x 8 and of 4 x 4 cells.

    Args:
        seeds: one for each clip.
        grid: height and width of the frames' key maps.
        view_grid: height and width of the second views' key maps.

    Returns:
        Positions `y * X + x`, int64: anchors [B,A] in the first frame's key map, and points [B,R] in that of its
        second view.
    """
    cells = min(ANCHOR_CELLS, grid[0]), min(ANCHOR_CELLS, grid[1])
    few = min(POINT_CELLS, view_grid[0]), min(POINT_CELLS, view_grid[1])
    anchors, points = [], []
    for seed in seeds:
        rng = clip_rng(seed, "rel")
        anchors.append(draw_positions(rng, grid, cells))
        points.append(draw_positions(rng, view_grid, few))
    return torch.from_numpy(np.stack(anchors)), torch.from_numpy(np.stack(points))


def view_sources(matrices_BT33: Tensor, grid: tuple[int, int], view_grid: tuple[int, int], stride: int = 16) -> Tensor:
    """Find the position of a frame's key map that each position of its second view shows.

    Args:
        matrices_BT33: take (x, y, 1) in a frame to its second view, in pixels with centres at integers; affine, on the
            CPU.
        grid: height and width of the frames' key maps.
        view_grid: height and width of the second views' key maps.
        stride: pixels per position.

    Returns:
        [B,T,P] int64, `y * X + x` of the nearest position, or -1 outside the frame.
    """
    axes = [(torch.arange(n, dtype=torch.float64) + 0.5) * stride - 0.5 for n in view_grid]
    y, x = torch.meshgrid(*axes, indexing="ij")
    centres_3P = torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel(), dtype=torch.float64)])
    places_BT2P = (torch.linalg.inv(matrices_BT33.double()) @ centres_3P)[:, :, :2]
    column, row = ((places_BT2P + 0.5) / stride).floor().long().unbind(dim=2)
    inside = (row >= 0) & (row < grid[0]) & (column >= 0) & (column < grid[1])
    return torch.where(inside, row * grid[1] + column, -1)


def released_losses(
    key_BTKYX: Tensor,
    view_key_BTKYX: Tensor,
    anchors_BA: Tensor,
    points_BR: Tensor,
    sources_BTP: Tensor,
    gather: bool = False,
) -> dict[str, Tensor]:
    """Compute both terms of the released loss, in fp32 whatever the autocast state.

    Args:
        key_BTKYX: keys of the frames from the extra head.
        view_key_BTKYX: their second views' keys; only the first frame's takes a gradient.
        anchors_BA: drawn positions in the first frame's key map, on the keys' device as the rest.
        points_BR: drawn positions in the key map of the first frame's second view.
        sources_BTP: for each position of the second views the nearest one of the frame, -1 outside it.
        gather: take the anchors and points of all processes.

    Returns:
        Unweighted scalars, means over clips. "temporal": of the frames after the first, cross-entropy of the
        similarities to the anchors of all clips, with the pseudo-label of the second view (paper Eq. 5-7, but for one
        frame twice). "frame": of the first frame, cross-entropy of the second view's points with the same places of the
        frame, in all clips. Positions outside the frame count in neither.
    """
    with torch.autocast(device_type=key_BTKYX.device.type, enabled=False):
        key, view_key = key_BTKYX.float(), view_key_BTKYX.float()
        anchors_BAK = take_positions(key[:, 0], anchors_BA)
        later = sources_BTP[:, 1:]
        # The nearest position is taken before the softmax over anchors instead of after it: the same, for less.
        found_BFPK = take_positions(key[:, 1:].flatten(0, 1), later.flatten(0, 1).clamp(min=0))
        query_BKP = found_BFPK.unflatten(0, later.shape[:2]).flatten(1, 2).transpose(1, 2)
        with torch.no_grad():
            seen_BKP = view_key[:, 1:].flatten(3).transpose(1, 2).flatten(2)
            label_BP = similarity(anchors_BAK.transpose(1, 2), None, seen_BKP, None).argmax(dim=1)
        anchors = Candidates(anchors_BAK[:, None])
        temporal_BP = contrast(Queries(query_BKP), anchors, label_BP[:, None], gather=gather)[:, 0]

        source_BR = sources_BTP[:, 0].gather(1, points_BR)
        point_BRK = take_positions(view_key[:, 0], points_BR)
        place_BRK = take_positions(key[:, 0], source_BR.clamp(min=0))
        same_BR = torch.arange(points_BR.shape[1], device=points_BR.device).expand_as(points_BR)
        real_BR = source_BR >= 0
        places = Candidates(place_BRK[:, None], real_BA=real_BR)
        frame_BR = contrast(Queries(point_BRK.transpose(1, 2)), places, same_BR[:, None], gather=gather)
    return {
        "temporal": _mean_inside(temporal_BP, later.flatten(1) >= 0),
        "frame": _mean_inside(frame_BR[:, 0], real_BR),
    }


def _mean_inside(loss_BP: Tensor, inside_BP: Tensor) -> Tensor:
    loss_B = torch.where(inside_BP, loss_BP, 0.0).sum(dim=1) / inside_BP.sum(dim=1).clamp(min=1)
    return loss_B.mean()
