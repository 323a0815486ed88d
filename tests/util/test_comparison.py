"""What the correspondence losses compare, moved, padded and joined."""

import torch

from tests.support.paired_batches import compare
from util.comparison import Comparison, join_comparisons


def clip_with(boxes: int) -> Comparison:
    return compare([0], [2], torch.ones(1, 2, boxes, 4), torch.zeros(1, 2, boxes, dtype=torch.int64), [boxes])


def test_batches_are_joined_and_padded() -> None:
    joined = join_comparisons([clip_with(1), clip_with(3)])
    assert joined.seeds == (1, 3) and joined.pair_B.tolist() == [0, 0] and joined.anchor_B.tolist() == [2, 2]
    assert joined.boxes_B2N4.shape == (2, 2, 3, 4) and joined.view_matrices_BV33.shape == (2, 1, 3, 3)
    assert joined.box_ids_B2N.tolist() == [[[0, -1, -1]] * 2, [[0, 0, 0]] * 2]
    assert joined.boxes_B2N4[0, :, 1:].eq(0).all()


def test_padding_and_moving_keep_the_rest() -> None:
    padded = clip_with(2).pad_boxes(4)
    assert padded.seeds == (2,) and padded.box_ids_B2N.tolist() == [[[0, 0, -1, -1]] * 2]
    moved = padded.to(torch.device("meta"))
    assert moved.seeds == (2,) and all(x.is_meta for x in vars(moved).values() if isinstance(x, torch.Tensor))
