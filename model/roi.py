"""Features of boxes."""

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
