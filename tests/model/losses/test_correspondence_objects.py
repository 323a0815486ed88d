"""The object-level correspondence loss with pencil and paper, and against loops."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from model.losses.boxes import roi_average
from model.losses.correspondence import clips_without_objects, match_objects
from tests.support.paired_batches import Batch, batch_of, distance, drawn_batch


def ramp_clip(frames: int = 3) -> Tensor:
    """A clip [T,1,1,9] whose key is the column."""
    return torch.arange(9.0).expand(frames, 1, 1, 9).clone()


def boxes_of(features: list[float], count: int) -> Tensor:
    """Boxes [count,4] whose feature on the ramp is known: the column of their centre, in cells."""
    x = torch.tensor(features + [0.0] * (count - len(features)))
    return torch.stack([16 * x + 4, torch.zeros_like(x), 16 * x + 12, torch.full_like(x, 16)], dim=1)


def object_batch(frame_t: list[float], anchor: list[float], ids: Any, queries: list[int]) -> Batch:
    """Two clips: the first as given, the second with a proposal of feature 3 in t and one of 7 in the anchor frame."""
    boxes = torch.stack(
        [
            torch.stack([boxes_of(frame_t, 4), boxes_of(anchor, 4)]),
            torch.stack([boxes_of([3.0], 4), boxes_of([7.0], 4)]),
        ]
    )
    ids = [ids, [[0, -1, -1, -1], [0, -1, -1, -1]]]
    key = torch.stack([ramp_clip(), ramp_clip()]).requires_grad_()
    return batch_of(key, [[0]], boxes, ids, [queries, [-1, -1, -1]])


def object_loss(pairs: Sequence[tuple[float, float]]) -> float:
    """Mean over (query, partner) of the cross-entropy with the second clip's objects, 3 and 7."""
    terms = []
    for q, partner in pairs:
        right, wrong = math.exp(-((q - partner) ** 2)), sum(math.exp(-((q - o) ** 2)) for o in (3, 7))
        terms.append(-math.log(right / (right + wrong)))
    return sum(terms) / len(terms)


PROPOSALS = [[0, 0, 0, -1], [0, 0, 0, 0]]


def test_object_loss_by_hand() -> None:
    # Queries 1, 2, 4; boxes 6, 2, 4.5, 8 in the anchor frame. 1 and 2 both want 2, and 4 wants 4.5. Together
    # 1 -> 2, 2 -> 4.5, 4 -> 6 costs 1 + 6.25 + 4; 1 -> 4.5, 2 -> 2, 4 -> 6 costs 12.25 + 4 and is worse.
    batch = object_batch([1.0, 2.0, 4.0], [6.0, 2.0, 4.5, 8.0], PROPOSALS, [0, 1, 2])
    # The second clip has no query: it counts zero in the mean over clips.
    expected = object_loss([(1, 2), (2, 4.5), (4, 6)]) / 2
    assert batch.ocl().item() == pytest.approx(expected, rel=1e-5)


def test_object_gradient_by_hand() -> None:
    # One query at column 2 with partner 5. A box reaches a quarter of a cell to each side of a column's centre, so its
    # samples lie 1/8 of a cell away on average: 7/8 of the weight is the column's, 1/16 each neighbour's.
    batch = object_batch([2.0], [5.0], [[0, -1, -1, -1], [0, -1, -1, -1]], [0, -1, -1])
    batch.ocl().backward()
    scores = {5: -9.0, 3: -1.0, 7: -25.0}
    total = sum(math.exp(s) for s in scores.values())
    p = {o: math.exp(s) / total for o, s in scores.items()}
    columns = torch.arange(9)
    weight = {c: 7 / 8 * (columns == c) + 1 / 16 * ((columns - c).abs() == 1) for c in (2, 3, 5, 7)}
    # d loss / d q = 2 (sum_o p_o o - 5), d loss / d o = (p_o - [o = 5]) 2 (q - o); half of it, of two clips.
    expected = torch.zeros(2, 3, 9)
    expected[0, 0] = (sum(p[o] * o for o in p) - 5) * weight[2]
    expected[0, 2] = (p[5] - 1) * (2 - 5) * weight[5]
    expected[1, 0] = p[3] * (2 - 3) * weight[3]
    expected[1, 2] = p[7] * (2 - 7) * weight[7]
    assert batch.key.grad is not None
    torch.testing.assert_close(batch.key.grad[:, :, 0, 0], expected)


def test_annotated_objects_are_matched_by_identity() -> None:
    # Query 2 is object 5, which lies at 7.5 in the anchor frame though a proposal is at 2; query 4 takes its proposal.
    ids = [[5, 0, -1, -1], [0, 5, 0, -1]]
    batch = object_batch([2.0, 4.0], [2.0, 7.5, 4.5], ids, [1, 0, -1])
    loss = batch.ocl()
    assert loss.item() == pytest.approx(object_loss([(4, 4.5), (2, 7.5)]) / 2, rel=1e-5)


def test_annotated_boxes_are_no_partners_of_proposals() -> None:
    batch = object_batch([2.0], [2.0, 6.0], [[0, -1, -1, -1], [1, 0, -1, -1]], [0, -1, -1])
    loss = batch.ocl()
    assert loss.item() == pytest.approx(object_loss([(2, 6)]) / 2, rel=1e-5)


def test_proposals_without_a_partner_do_not_count() -> None:
    # One proposal in the anchor frame, at 4.5, for the queries 1, 2 and 4: the nearest, 4, has it.
    batch = object_batch([1.0, 2.0, 4.0], [4.5], [[0, 0, 0, -1], [0, -1, -1, -1]], [0, 1, 2])
    loss = batch.ocl()
    assert loss.item() == pytest.approx(object_loss([(4, 4.5)]) / 2, rel=1e-5)


def test_objects_manual_or_auto_are_those_in_the_clip() -> None:
    # The same boxes as annotated objects alone, as proposals alone, and as both.
    features = [1.0, 2.0, 4.0], [6.0, 2.0, 4.5]
    pairs = {
        ((1, 2, 3, -1), (1, 2, 3, -1)): [(1, 6), (2, 2), (4, 4.5)],
        ((0, 0, 0, -1), (0, 0, 0, -1)): [(1, 2), (2, 4.5), (4, 6)],
        ((1, 0, 0, -1), (1, 0, 0, -1)): [(1, 6), (2, 2), (4, 4.5)],
    }
    for ids, expected in pairs.items():
        batch = object_batch(*features, [list(row) for row in ids], [0, 1, 2])
        loss = batch.ocl()
        assert loss.item() == pytest.approx(object_loss(expected) / 2, rel=1e-5), ids


def test_batches_without_any_box_give_zero() -> None:
    key = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch = batch_of(key, [[0]])
    loss = batch.ocl()
    loss.backward()
    assert loss.item() == 0 and clips_without_objects(batch.compared.box_ids_B2N).item() == 2
    assert key.grad is not None and not key.grad.any()


def test_object_loss_equals_loops() -> None:
    ops, optimize = pytest.importorskip("torchvision.ops"), pytest.importorskip("scipy.optimize")
    batch = drawn_batch([1, 2, 3, 17])
    key, plan, ours = batch.key, batch.compared, batch.ocl()
    features = []
    for b in range(4):
        for n, frame in enumerate((plan.pair_B[b], plan.anchor_B[b])):
            aligned = ops.roi_align(key[b, frame][None], [plan.boxes_B2N4[b, n]], 7, 1 / 16, 2, True)
            features.append(aligned.mean(dim=(2, 3)))
    expected = torch.zeros(())
    for b in range(4):
        queries, ids = batch.queries[b].tolist(), plan.box_ids_B2N[b].tolist()
        proposals = [n for n in range(12) if ids[1][n] == 0]
        free = [q for q in queries if ids[0][q] == 0]
        scores = torch.stack([distance(features[2 * b][q], features[2 * b + 1][proposals]) for q in free])
        _, columns = optimize.linear_sum_assignment(scores.detach().numpy(), maximize=True)
        partner = dict(zip(free, (proposals[c] for c in columns), strict=True))
        others = torch.cat([features[2 * c + n] for c in range(4) if c != b for n in (0, 1)])
        for q in queries:
            right = distance(features[2 * b][q], features[2 * b + 1][[partner.get(q, 5)]])
            logits = torch.cat([right, distance(features[2 * b][q], others)])
            expected = expected + (logits.logsumexp(0) - right[0]) / len(queries) / 4
    assert any(plan.box_ids_B2N[b, 0, q] == 1 for b in range(4) for q in batch.queries[b])
    torch.testing.assert_close(ours, expected)
    gradients = [torch.autograd.grad(x, key)[0] for x in (ours, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_matching_reports_which_queries_have_a_partner() -> None:
    query = torch.tensor([[[1.0], [2.0], [3.0]]])
    anchor = torch.tensor([[[3.0], [9.0], [1.5]]])
    partner, found = match_objects(query, torch.tensor([[4, 0, -1]]), anchor, torch.tensor([[0, 7, -1]]))
    assert found.tolist() == [[False, True, False]] and partner[0, 1].item() == 0


def test_clips_without_a_box_that_can_have_a_partner_are_counted() -> None:
    # An object gone in the anchor frame; one that is there; proposals in both frames; a proposal in one alone.
    ids = [[[1, -1], [2, -1]], [[1, 2], [2, -1]], [[0, -1], [0, 0]], [[0, -1], [3, -1]]]
    assert clips_without_objects(torch.tensor(ids)).item() == 2


def test_too_few_proposals_go_to_the_nearest_queries() -> None:
    # K = 1. By 2 a q - a^2 alone, without the query's own norm, the far query would win the only proposal.
    query, anchor = torch.tensor([[[3.0], [1.0]]]), torch.tensor([[[1.2], [9.0]]])
    partner, found = match_objects(query, torch.tensor([[0, 0]]), anchor, torch.tensor([[0, -1]]))
    assert found.tolist() == [[False, True]] and partner[0, 1] == 0


def test_objects_of_the_same_frames_that_hardly_overlap_are_negatives() -> None:
    # Columns of a cell, boxes a quarter of a cell to each side: only equal ones overlap. Query 2 has partner 5, which
    # is object 1; its own frame also holds 2 (again) and 6, the anchor frame 5 (again), 1 and, as padding, 0.
    ids = [[1, 0, 0, -1], [1, 0, 0, -1]]
    batch = object_batch([2.0, 2.0, 6.0], [5.0, 5.0, 1.0], ids, [0, -1, -1])
    wrong = {False: (3, 7), True: (3, 7, 6, 1)}
    for own, others in wrong.items():
        scores = [-((2.0 - o) ** 2) for o in (5, *others)]
        expected = (math.log(sum(map(math.exp, scores))) - scores[0]) / 2
        assert batch.ocl(own=own).item() == pytest.approx(expected, rel=1e-5)


def test_negatives_of_the_same_frames_equal_loops() -> None:
    ops = pytest.importorskip("torchvision.ops")
    batch = drawn_batch([1, 2, 3])
    compared = batch.compared
    features = roi_average(
        torch.stack([batch.key[range(3), compared.pair_B], batch.key[range(3), compared.anchor_B]], 1).flatten(0, 1),
        compared.boxes_B2N4.flatten(0, 1),
    ).view(3, 2, 12, -1)
    total = torch.zeros(())
    for b in range(3):
        queries, ids = batch.queries[b], compared.box_ids_B2N[b]
        partners, found = match_objects(features[b, :1, queries], ids[:1, queries], features[b, 1:], ids[1:])
        assert found.all()
        for q, p in zip(queries.tolist(), partners[0].tolist(), strict=True):
            others = [features[c, n, m] for c in range(3) if c != b for n in (0, 1) for m in range(12)]
            for n, own in ((0, q), (1, p)):
                iou = ops.box_iou(compared.boxes_B2N4[b, n], compared.boxes_B2N4[b, n, own][None])[:, 0]
                others += [features[b, n, m] for m in range(12) if iou[m] < 0.1]
            scores = distance(features[b, 0, q], torch.stack([features[b, 1, p], *others]))
            total = total + (scores.logsumexp(0) - scores[0]) / 3 / 3
    torch.testing.assert_close(batch.ocl(own=True), total)
