"""A loss on the matching alone: the masks that keys read, without values and decoder, are the true ones.

It reaches the keys by the shortest way, which helps a network that starts far from good ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.affinity import readout, similarity, softmax_affinity
from model.network import STRIDE, ClipKeys

_EVEN = 0.01  # share of a uniform distribution in what is read, which bounds the loss


def matching_loss(keys: ClipKeys, labels_BTHW: Tensor, objects: int) -> Tensor:
    """Cross-entropy of the masks that each frame's keys read from the first and the previous frame's true masks.

    Masks are label shares of the cells of the matching grid; memory is read as in training (`softmax_affinity`). The
    mean runs over positions and clips, the sum over frames, as that of the cross-entropy of the decoded masks.

    Args:
        keys: of all frames; shrinkage and selection count where the network has them.
        labels_BTHW: true labels of all frames, 0 for background, `objects` the largest.
        objects: labels beside the background.

    Returns:
        Scalar in fp32.
    """
    batch, frames = labels_BTHW.shape[:2]
    one_hot = F.one_hot(labels_BTHW.long(), objects + 1).movedim(-1, 2).float()
    shares_BTLP = F.avg_pool2d(one_hot.flatten(0, 1), STRIDE).unflatten(0, (batch, frames)).flatten(3)

    def queries(x_BTCP: Tensor | None) -> Tensor | None:
        return None if x_BTCP is None else x_BTCP[:, 1:].flatten(0, 1)

    def memory(x_BTCP: Tensor) -> Tensor:
        # Where the previous frame is the first, its elements come twice, which changes nothing that is read.
        return torch.cat([x_BTCP[:, :1].expand(-1, frames - 1, -1, -1), x_BTCP[:, :-1]], dim=3).flatten(0, 1)

    key, shrinkage, selection = (None if x is None else x.flatten(3) for x in keys[:3])
    assert key is not None
    query = queries(key)
    assert query is not None
    scores = similarity(memory(key), None if shrinkage is None else memory(shrinkage), query, queries(selection))
    read = readout(softmax_affinity(scores), memory(shares_BTLP))
    surprise = -(shares_BTLP[:, 1:].flatten(0, 1) * ((1 - _EVEN) * read + _EVEN / (objects + 1)).log())
    return surprise.sum(dim=1).mean(dim=1).sum() / batch
