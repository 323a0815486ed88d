"""The pixel-level correspondence loss with pencil and paper, and against loops."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from model.losses.correspondence import pixel_loss
from model.network import ClipKeys
from tests.support.paired_batches import NEGATIVES, batch_of, distance, drawn_batch, maps, one_clip


def test_pixel_loss_by_hand() -> None:
    # Similarities (0, -1), (-1, 0), (-1/4, -1/4), (0, -1) with labels 0, 1, 0, 1.
    expected = (2 * math.log(1 + math.exp(-1)) + math.log(2) + math.log(1 + math.e)) / 4
    assert one_clip().pcl("intra").item() == pytest.approx(expected, rel=1e-6)


def test_pixel_gradient_by_hand() -> None:
    batch = one_clip()
    batch.pcl("intra").backward()
    # d loss / d q = 2 (sum_j p_j a_j - a_target) / 4, where p_1 is 1 / (1 + e), e / (1 + e), 1/2, 1 / (1 + e).
    p = 1 / (1 + math.e)
    query = [p / 2, -p / 2, 1 / 4, (p - 1) / 2]
    # d loss / d a_j = sum_i (p_ij - [target_i = j]) 2 (q_i - a_j) / 4.
    first = (2 * p * 1 + 2 * (0.5 - 1) * 0.5) / 4
    second = (2 * p * -1 + 2 * 0.5 * -0.5 + 2 * (p - 1) * -1) / 4
    expected = maps([0, 0, 0, 0], query, [first, 0, 0, second])
    assert batch.key.grad is not None
    torch.testing.assert_close(batch.key.grad[0], expected)
    assert not batch.key.grad[0, 0].any()  # labels carry none


def test_the_view_is_a_second_set_of_anchors() -> None:
    first = one_clip()
    view = torch.tensor([5.0, 2.0, 0.0]).view(1, 1, 1, 1, 3)
    both = batch_of(first.key, [[0, 3], [1, 2]], view=view).pcl("intra")
    # Anchors 2 and 0 of the view. Labels 1, 1, 1, 0; of frame t + 1 the squares are (4, 0), (1, 1), (9/4, 1/4), (4, 0).
    second = (math.log(1 + math.exp(-4)) + math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(4))) / 4
    assert both.item() == pytest.approx((first.pcl("intra").item() + second) / 2, rel=1e-6)


def test_negatives_by_hand() -> None:
    # Clip 0 has anchors 0 and 1, clip 1 anchors 2 and 4. Every position of frame t + 1 is 0 in clip 0 and 4 in clip 1.
    clips = [maps([0] * 4, [0] * 4, [0, 9, 9, 1]), maps([4] * 4, [4] * 4, [2, 9, 9, 4])]
    batch = batch_of(torch.stack(clips), [[0, 3]])
    e = math.exp
    expected = {
        "intra": (math.log(1 + e(-1)) + math.log(1 + e(-4))) / 2,
        "inter": (math.log(1 + e(-4) + e(-16)) + math.log(1 + e(-16) + e(-9))) / 2,
        "both": (math.log(1 + e(-1) + e(-4) + e(-16)) + math.log(1 + e(-4) + e(-16) + e(-9))) / 2,
    }
    for negatives in NEGATIVES:
        assert batch.pcl(negatives).item() == pytest.approx(expected[negatives], rel=1e-5), negatives


def test_identical_frames_label_themselves() -> None:
    # Keys far apart: each position's best anchor is itself, and the loss vanishes where t + 1 is the same picture.
    frame = 20 * torch.randn(1, 1, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    positions = [[4, 0, 8, 2, 6, 1, 7, 3, 5]]
    assert batch_of(frame.expand(1, 3, -1, -1, -1), positions).pcl("intra").item() < 1e-6
    moved = torch.cat([frame, frame.flip(-1), frame], dim=1)
    assert batch_of(moved, positions).pcl("intra").item() > 10


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_pixel_loss_equals_loops(negatives: Any) -> None:
    batch = drawn_batch([1, 2, 3])
    key, view = batch.leaves()
    ours = batch.pcl(negatives)
    terms = []
    for s in range(2):
        maps_KYX = [key[b, batch.compared.anchor_B[b]] if s == 0 else view[b, 0] for b in range(3)]
        anchors = [x.flatten(1).T[batch.positions[b, s]] for b, x in enumerate(maps_KYX)]
        for b in range(3):
            now, after = (key[b, batch.compared.pair_B[b] + i].flatten(1).T for i in (0, 1))
            others = torch.cat([anchors[c] for c in range(3) if c != b])
            for i in range(81):
                own = distance(after[i], anchors[b])
                best = int(distance(now[i], anchors[b]).argmax())
                logits = {"intra": own, "inter": torch.cat([own[best : best + 1], distance(after[i], others)])}
                logits["both"] = torch.cat([own, distance(after[i], others)])
                terms.append(logits[negatives].logsumexp(0) - own[best])
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(ours, expected)
    for mine, other in zip(*(torch.autograd.grad(x, [key, view]) for x in (ours, expected)), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_xmems_similarity_equals_loops(negatives: Any) -> None:
    batch, g = drawn_batch([1, 2]), torch.Generator().manual_seed(3)
    key, view = batch.leaves()
    shrinkage, view_shrinkage = 1 + torch.rand(2, 4, 1, 9, 9, generator=g), 1 + torch.rand(2, 1, 1, 8, 8, generator=g)
    selection = torch.rand(2, 4, 8, 9, 9, generator=g)
    keys = ClipKeys(key, shrinkage, selection, view, view_shrinkage)
    ours = pixel_loss(keys, batch.compared, batch.positions, negatives)

    def scores(anchors: list[tuple[Tensor, Tensor]], q_K: Tensor, e_K: Tensor) -> Tensor:
        """XMem Eq. 2 as it stands."""
        return torch.cat([-s * (e_K * (k - q_K).square()).sum(1, keepdim=True) / math.sqrt(8) for k, s in anchors])[
            :, 0
        ]

    terms = []
    for s in range(2):
        maps_of = [(key[b, batch.compared.anchor_B[b]], shrinkage[b, batch.compared.anchor_B[b]]) for b in range(2)]
        if s == 1:
            maps_of = [(view[b, 0], view_shrinkage[b, 0]) for b in range(2)]
        anchors = [[x.flatten(1).T[batch.positions[b, s]] for x in pair] for b, pair in enumerate(maps_of)]
        for b in range(2):
            t = batch.compared.pair_B[b]
            now, after, e_now, e_after = (x[b, i].flatten(1).T for x in (key, selection) for i in (t, t + 1))
            for i in range(81):
                own = scores([anchors[b]], after[i], e_after[i])  # type: ignore[list-item]
                best = int(scores([anchors[b]], now[i], e_now[i]).argmax())  # type: ignore[list-item]
                other = scores([anchors[1 - b]], after[i], e_after[i])  # type: ignore[list-item]
                logits = {"intra": own, "inter": torch.cat([own[best : best + 1], other])}
                logits["both"] = torch.cat([own, other])
                terms.append(logits[negatives].logsumexp(0) - own[best])
    torch.testing.assert_close(ours, torch.stack(terms).mean(), atol=1e-5, rtol=1e-4)
