"""Boxes for the object-level loss: their features, and the optimal exclusive assignment of a few of them."""

import torch
from torch import Tensor

# 7 x 7 bins of 2 x 2 samples. Only the average over the bins is wanted, so only their product matters.
_SAMPLES = 14


def roi_average(map_BKYX: Tensor, boxes_BN4: Tensor, stride: int = 16, samples: int = _SAMPLES) -> Tensor:
    """Average of RoIAlign over each box (correspondence paper Eq. 8).

    The bilinear samples of a box form a regular grid, so their average is `sum_yx wy(y) wx(x) map(y, x)`: one matrix
    product, the same on every run. Cell i of the map covers the edges `stride * i` to `stride * (i + 1)` of pixels;
    samples beyond the outermost cell centres take the value there.

    Args:
        map_BKYX: maps, one for each picture.
        boxes_BN4: left, top, right, bottom edges in pixels of the picture, inside it. A box of no size gives the value
            at its place.
        stride: pixels per cell.
        samples: along each side of a box.

    Returns:
        [B,N,K], in fp32.
    """
    with torch.autocast(device_type=map_BKYX.device.type, enabled=False):
        boxes = boxes_BN4.float() / stride
        height, width = map_BKYX.shape[-2:]
        wx_BNX = _axis_weights(boxes[..., 0], boxes[..., 2], width, samples)
        wy_BNY = _axis_weights(boxes[..., 1], boxes[..., 3], height, samples)
        weights_BNP = (wy_BNY[..., :, None] * wx_BNX[..., None, :]).flatten(2)
        return weights_BNP @ map_BKYX.float().flatten(2).transpose(1, 2)


def _axis_weights(low_BN: Tensor, high_BN: Tensor, cells: int, samples: int) -> Tensor:
    """Weight [B,N,cells] of each cell along one axis; edges in cells."""
    share = (torch.arange(samples, device=low_BN.device) + 0.5) / samples
    places = low_BN[..., None] + (high_BN - low_BN)[..., None] * share - 0.5
    distance = places.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=low_BN.device)
    return (1 - distance.abs()).clamp(min=0).mean(dim=-2)


def box_iou(a_BN4: Tensor, b_BM4: Tensor) -> Tensor:
    """Intersection over union [B,N,M] of boxes given by left, top, right, bottom edges; 0 where neither has an area."""
    low = torch.maximum(a_BN4[:, :, None, :2], b_BM4[:, None, :, :2])
    high = torch.minimum(a_BN4[:, :, None, 2:], b_BM4[:, None, :, 2:])
    both = (high - low).clamp(min=0).prod(dim=3)
    area_BN, area_BM = ((x[..., 2:] - x[..., :2]).prod(dim=2) for x in (a_BN4, b_BM4))
    either = area_BN[:, :, None] + area_BM[:, None] - both
    return torch.where(either > 0, both / either.clamp(min=torch.finfo(both.dtype).tiny), 0.0)


def assign_rows(scores_BQN: Tensor, rows_BQ: Tensor) -> tuple[Tensor, Tensor]:
    """Assign rows to different columns so that as many as possible are assigned, with the largest sum of scores.

    What the Hungarian algorithm gives. Only the Q best columns of a row can matter, since at most Q - 1 of them go to
    other rows; so all `(Q + 1)^Q` choices are compared, without waiting for the device.

    Args:
        scores_BQN: minus infinity where a row must not have a column; N >= Q, and Q is a handful.
        rows_BQ: False for rows that take no part.

    Returns:
        The column of each row [B,Q], int64, and whether the row is assigned [B,Q]; if it is not, its column is 0.
    """
    rows = scores_BQN.shape[1]
    device = scores_BQN.device
    best = scores_BQN.topk(rows, dim=2)
    # One more choice for each row: no column.
    usable = torch.cat([best.values.isfinite() & rows_BQ[..., None], torch.zeros_like(rows_BQ)[..., None]], dim=2)
    values = torch.cat([best.values, torch.zeros_like(best.values[..., :1])], dim=2)
    columns = torch.cat([best.indices, torch.zeros_like(best.indices[..., :1])], dim=2)

    choice_CQ = torch.cartesian_prod(*[torch.arange(rows + 1, device=device)] * rows).reshape(-1, rows)
    row_Q = torch.arange(rows, device=device)
    taken_BCQ, column_BCQ = usable[:, row_Q, choice_CQ], columns[:, row_Q, choice_CQ]
    possible_BC = (taken_BCQ | (choice_CQ == rows)).all(dim=2)
    both = taken_BCQ[..., :, None] & taken_BCQ[..., None, :]
    shared = both & (column_BCQ[..., :, None] == column_BCQ[..., None, :])
    possible_BC &= ~shared.triu(diagonal=1).flatten(2).any(dim=2)

    assigned_BC = taken_BCQ.sum(dim=2).masked_fill(~possible_BC, -1)
    total_BC = torch.where(taken_BCQ, values[:, row_Q, choice_CQ], 0.0).sum(dim=2)
    most = assigned_BC.amax(dim=1, keepdim=True)
    winner_B11 = total_BC.masked_fill(assigned_BC < most, -torch.inf).argmax(dim=1)[:, None, None].expand(-1, 1, rows)
    taken_BQ = taken_BCQ.gather(1, winner_B11)[:, 0]
    return torch.where(taken_BQ, column_BCQ.gather(1, winner_B11)[:, 0], 0), taken_BQ
