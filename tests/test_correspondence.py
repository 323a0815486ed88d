"""The correspondence losses with pencil and paper, against loops, and what must not change them."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.correspondence import (
    PairPlan,
    correspondence_losses,
    correspondence_weight,
    draw_pair_plan,
    match_objects,
)

ROOT = Path(__file__).parents[1]
NEGATIVES: Any = ["intra", "inter", "both"]


def plan_of(
    clips: int, positions: list[list[int]], boxes: Tensor | None = None, ids: Any = None, queries: Any = None
) -> PairPlan:
    """Plan for clips (t, t + 1, anchor) that all draw the same positions in each set of anchors."""
    return PairPlan(
        pair_B=torch.zeros(clips, dtype=torch.int64),
        anchor_B=torch.full((clips,), 2),
        positions_BSA=torch.tensor(positions).expand(clips, -1, -1),
        boxes_B2N4=torch.zeros(clips, 2, 0, 4) if boxes is None else boxes,
        box_ids_B2N=torch.zeros(clips, 2, 0, dtype=torch.int64) if ids is None else torch.tensor(ids),
        queries_BQ=torch.full((clips, 3), -1) if queries is None else torch.tensor(queries),
    )


def maps(*frames: list[float]) -> Tensor:
    """A clip [T,1,2,2] of key maps with one channel, so that sim(a, b) = -(a - b)^2."""
    return torch.tensor(frames).view(-1, 1, 2, 2)


def drawn_batch(seeds: list[int]) -> tuple[Tensor, Tensor, PairPlan]:
    """Clips of 4 frames of 9 x 9 positions, views of 8 x 8, 12 boxes; each clip depends on its seed alone."""
    keys, views, boxes, ids = [], [], [], []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed)
        keys.append(torch.randn(4, 8, 9, 9, generator=g))
        views.append(torch.randn(1, 8, 8, 8, generator=g))
        low = 70 * torch.rand(2, 12, 2, generator=g)
        boxes.append(torch.cat([low, low + 10 + 60 * torch.rand(2, 12, 2, generator=g)], dim=2))
        id_2N = torch.zeros(2, 12, dtype=torch.int64)
        id_2N[0, seed % 12], id_2N[1, 5] = 1, 1
        ids.append(id_2N)
    pair, anchor = torch.tensor([seed % 3 for seed in seeds]), torch.tensor([[3, 0, 0][seed % 3] for seed in seeds])
    plan = draw_pair_plan(seeds, pair, anchor, torch.stack(boxes), torch.stack(ids), (9, 9), (8, 8))
    return torch.stack(keys).requires_grad_(), torch.stack(views).requires_grad_(), plan


# Pixels


def one_clip() -> tuple[Tensor, PairPlan]:
    # Anchors: positions 0 and 3 of the anchor frame, 0 and 1. Labels of frame t: 0, 1, 0, 1.
    return maps([0.2, 0.9, -1, 3], [0, 1, 0.5, 0], [0, 9, 9, 1])[None].requires_grad_(), plan_of(1, [[0, 3]])


def test_pixel_loss_by_hand() -> None:
    key, plan = one_clip()
    losses = correspondence_losses(key, None, plan, negatives="intra", with_ocl=False)
    # Similarities (0, -1), (-1, 0), (-1/4, -1/4), (0, -1) with labels 0, 1, 0, 1.
    expected = (2 * math.log(1 + math.exp(-1)) + math.log(2) + math.log(1 + math.e)) / 4
    assert list(losses) == ["pcl"]
    assert losses["pcl"].item() == pytest.approx(expected, rel=1e-6)


def test_pixel_gradient_by_hand() -> None:
    key, plan = one_clip()
    correspondence_losses(key, None, plan, negatives="intra", with_ocl=False)["pcl"].backward()
    # d loss / d q = 2 (sum_j p_j a_j - a_target) / 4, where p_1 is 1 / (1 + e), e / (1 + e), 1/2, 1 / (1 + e).
    p = 1 / (1 + math.e)
    query = [p / 2, -p / 2, 1 / 4, (p - 1) / 2]
    # d loss / d a_j = sum_i (p_ij - [target_i = j]) 2 (q_i - a_j) / 4.
    first = (2 * p * 1 + 2 * (0.5 - 1) * 0.5) / 4
    second = (2 * p * -1 + 2 * 0.5 * -0.5 + 2 * (p - 1) * -1) / 4
    expected = maps([0, 0, 0, 0], query, [first, 0, 0, second])
    assert key.grad is not None
    torch.testing.assert_close(key.grad[0], expected)
    assert not key.grad[0, 0].any()  # labels carry none


def test_the_view_is_a_second_set_of_anchors() -> None:
    key, _ = one_clip()
    view = torch.tensor([5.0, 2.0, 0.0]).view(1, 1, 1, 1, 3)
    plan = plan_of(1, [[0, 3], [1, 2]])
    both = correspondence_losses(key, view, plan, negatives="intra", with_ocl=False)["pcl"]
    first = correspondence_losses(key, None, plan, negatives="intra", with_ocl=False)["pcl"]
    # Anchors 2 and 0 of the view. Labels 1, 1, 1, 0; of frame t + 1 the squares are (4, 0), (1, 1), (9/4, 1/4), (4, 0).
    second = (math.log(1 + math.exp(-4)) + math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(4))) / 4
    assert both.item() == pytest.approx((first.item() + second) / 2, rel=1e-6)


def test_negatives_by_hand() -> None:
    # Clip 0 has anchors 0 and 1, clip 1 anchors 2 and 4. Every position of frame t + 1 is 0 in clip 0 and 4 in clip 1.
    clips = [maps([0] * 4, [0] * 4, [0, 9, 9, 1]), maps([4] * 4, [4] * 4, [2, 9, 9, 4])]
    key, plan = torch.stack(clips), plan_of(2, [[0, 3]])
    e = math.exp
    expected = {
        "intra": (math.log(1 + e(-1)) + math.log(1 + e(-4))) / 2,
        "inter": (math.log(1 + e(-4) + e(-16)) + math.log(1 + e(-16) + e(-9))) / 2,
        "both": (math.log(1 + e(-1) + e(-4) + e(-16)) + math.log(1 + e(-4) + e(-16) + e(-9))) / 2,
    }
    for negatives in NEGATIVES:
        loss = correspondence_losses(key, None, plan, negatives=negatives, with_ocl=False)["pcl"]
        assert loss.item() == pytest.approx(expected[negatives], rel=1e-5), negatives


def test_identical_frames_label_themselves() -> None:
    # Keys far apart: each position's best anchor is itself, and the loss vanishes where t + 1 is the same picture.
    frame = 20 * torch.randn(1, 1, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    positions = [[4, 0, 8, 2, 6, 1, 7, 3, 5]]
    same = correspondence_losses(frame.expand(1, 3, -1, -1, -1), None, plan_of(1, positions), "intra", with_ocl=False)
    assert same["pcl"].item() < 1e-6
    moved = torch.cat([frame, frame.flip(-1), frame], dim=1)
    assert correspondence_losses(moved, None, plan_of(1, positions), "intra", with_ocl=False)["pcl"].item() > 10


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_pixel_loss_equals_loops(negatives: Any) -> None:
    key, view, plan = drawn_batch([1, 2, 3])
    ours = correspondence_losses(key, view, plan, negatives=negatives, with_ocl=False)["pcl"]
    terms = []
    for s in range(2):
        maps_KYX = [key[b, plan.anchor_B[b]] if s == 0 else view[b, 0] for b in range(3)]
        anchors = [x.flatten(1).T[plan.positions_BSA[b, s]] for b, x in enumerate(maps_KYX)]
        for b in range(3):
            now, after = (key[b, plan.pair_B[b] + i].flatten(1).T for i in (0, 1))
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


def distance(a_K: Tensor, b_NK: Tensor) -> Tensor:
    """Similarity as it is defined, in float64."""
    return (-(a_K.double() - b_NK.double()).square().sum(dim=1) / math.sqrt(len(a_K))).float()


# Objects


def ramp_clip(frames: int = 3) -> Tensor:
    """A clip [T,1,1,9] whose key is the column."""
    return torch.arange(9.0).expand(frames, 1, 1, 9).clone()


def boxes_of(features: list[float], count: int) -> Tensor:
    """Boxes [count,4] whose feature on the ramp is known: the column of their centre, in cells."""
    x = torch.tensor(features + [0.0] * (count - len(features)))
    return torch.stack([16 * x + 4, torch.zeros_like(x), 16 * x + 12, torch.full_like(x, 16)], dim=1)


def object_plan(frame_t: list[float], anchor: list[float], ids: Any, queries: list[int]) -> tuple[Tensor, PairPlan]:
    """Two clips: the first as given, the second with a proposal of feature 3 in t and one of 7 in the anchor frame."""
    boxes = torch.stack(
        [
            torch.stack([boxes_of(frame_t, 4), boxes_of(anchor, 4)]),
            torch.stack([boxes_of([3.0], 4), boxes_of([7.0], 4)]),
        ]
    )
    ids = [ids, [[0, -1, -1, -1], [0, -1, -1, -1]]]
    key = torch.stack([ramp_clip(), ramp_clip()]).requires_grad_()
    return key, plan_of(2, [[0]], boxes, ids, [queries, [-1, -1, -1]])


def object_loss(pairs: list[tuple[float, float]]) -> float:
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
    key, plan = object_plan([1.0, 2.0, 4.0], [6.0, 2.0, 4.5, 8.0], PROPOSALS, [0, 1, 2])
    losses = correspondence_losses(key, None, plan, with_pcl=False)
    # The second clip has no query: it counts zero in the mean over clips.
    expected = object_loss([(1, 2), (2, 4.5), (4, 6)]) / 2
    assert list(losses) == ["ocl", "clips_without_objects"]
    assert losses["ocl"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["clips_without_objects"].item() == 1


def test_object_gradient_by_hand() -> None:
    # One query at column 2 with partner 5. A box reaches a quarter of a cell to each side of a column's centre, so its
    # samples lie 1/8 of a cell away on average: 7/8 of the weight is the column's, 1/16 each neighbour's.
    key, plan = object_plan([2.0], [5.0], [[0, -1, -1, -1], [0, -1, -1, -1]], [0, -1, -1])
    correspondence_losses(key, None, plan, with_pcl=False)["ocl"].backward()
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
    assert key.grad is not None
    torch.testing.assert_close(key.grad[:, :, 0, 0], expected)


def test_annotated_objects_are_matched_by_identity() -> None:
    # Query 2 is object 5, which lies at 7.5 in the anchor frame though a proposal is at 2; query 4 takes its proposal.
    ids = [[5, 0, -1, -1], [0, 5, 0, -1]]
    key, plan = object_plan([2.0, 4.0], [2.0, 7.5, 4.5], ids, [1, 0, -1])
    loss = correspondence_losses(key, None, plan, with_pcl=False)["ocl"]
    assert loss.item() == pytest.approx(object_loss([(4, 4.5), (2, 7.5)]) / 2, rel=1e-5)


def test_annotated_boxes_are_no_partners_of_proposals() -> None:
    key, plan = object_plan([2.0], [2.0, 6.0], [[0, -1, -1, -1], [1, 0, -1, -1]], [0, -1, -1])
    loss = correspondence_losses(key, None, plan, with_pcl=False)["ocl"]
    assert loss.item() == pytest.approx(object_loss([(2, 6)]) / 2, rel=1e-5)


def test_proposals_without_a_partner_do_not_count() -> None:
    # One proposal in the anchor frame, at 4.5, for the queries 1, 2 and 4: the nearest, 4, has it.
    key, plan = object_plan([1.0, 2.0, 4.0], [4.5], [[0, 0, 0, -1], [0, -1, -1, -1]], [0, 1, 2])
    loss = correspondence_losses(key, None, plan, with_pcl=False)["ocl"]
    assert loss.item() == pytest.approx(object_loss([(4, 4.5)]) / 2, rel=1e-5)


def test_objects_manual_or_auto_are_those_in_the_plan() -> None:
    # The same boxes as annotated objects alone, as proposals alone, and as both.
    features = [1.0, 2.0, 4.0], [6.0, 2.0, 4.5]
    pairs = {
        ((1, 2, 3, -1), (1, 2, 3, -1)): [(1, 6), (2, 2), (4, 4.5)],
        ((0, 0, 0, -1), (0, 0, 0, -1)): [(1, 2), (2, 4.5), (4, 6)],
        ((1, 0, 0, -1), (1, 0, 0, -1)): [(1, 6), (2, 2), (4, 4.5)],
    }
    for ids, expected in pairs.items():
        key, plan = object_plan(*features, [list(row) for row in ids], [0, 1, 2])
        loss = correspondence_losses(key, None, plan, with_pcl=False)["ocl"]
        assert loss.item() == pytest.approx(object_loss(expected) / 2, rel=1e-5), ids


def test_batches_without_any_box_give_zero() -> None:
    key = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = correspondence_losses(key, None, plan_of(2, [[0]]), with_pcl=False)
    losses["ocl"].backward()
    assert losses["ocl"].item() == 0 and losses["clips_without_objects"].item() == 2
    assert key.grad is not None and not key.grad.any()


def test_object_loss_equals_loops() -> None:
    ops, optimize = pytest.importorskip("torchvision.ops"), pytest.importorskip("scipy.optimize")
    key, view, plan = drawn_batch([1, 2, 3, 17])
    ours = correspondence_losses(key, view, plan, with_pcl=False)["ocl"]
    features = []
    for b in range(4):
        for n, frame in enumerate((plan.pair_B[b], plan.anchor_B[b])):
            aligned = ops.roi_align(key[b, frame][None], [plan.boxes_B2N4[b, n]], 7, 1 / 16, 2, True)
            features.append(aligned.mean(dim=(2, 3)))
    expected = torch.zeros(())
    for b in range(4):
        queries, ids = plan.queries_BQ[b].tolist(), plan.box_ids_B2N[b].tolist()
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
    assert any(plan.box_ids_B2N[b, 0, q] == 1 for b in range(4) for q in plan.queries_BQ[b])
    torch.testing.assert_close(ours, expected)
    gradients = [torch.autograd.grad(x, key)[0] for x in (ours, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_matching_reports_which_queries_have_a_partner() -> None:
    query = torch.tensor([[[1.0], [2.0], [3.0]]])
    anchor = torch.tensor([[[3.0], [9.0], [1.5]]])
    partner, found = match_objects(query, torch.tensor([[4, 0, -1]]), anchor, torch.tensor([[0, 7, -1]]))
    assert found.tolist() == [[False, True, False]] and partner[0, 1].item() == 0


# What must not change a loss


def test_the_order_of_clips_changes_nothing() -> None:
    one, other = [5, 6, 7, 8], [7, 5, 8, 6]
    for negatives in NEGATIVES:
        losses = [correspondence_losses(*drawn_batch(seeds), negatives=negatives) for seeds in (one, other)]
        torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("content", [0.0, 3.0, math.nan, math.inf])
def test_padding_clips_change_nothing(content: float) -> None:
    key, view, plan = drawn_batch([1, 2, 3])
    padded = [torch.cat([x.detach(), torch.full_like(x[:1], content)]).requires_grad_() for x in (key, view)]
    more = PairPlan(*[torch.cat([x, x[:1]]) for x in plan])
    valid = torch.tensor([True, True, True, False])
    for negatives in NEGATIVES:
        losses = correspondence_losses(key, view, plan, negatives=negatives)
        with_padding = correspondence_losses(padded[0], padded[1], more, negatives=negatives, valid_B=valid)
        torch.testing.assert_close(with_padding, losses)
        expected = torch.autograd.grad(losses["pcl"] + losses["ocl"], [key, view])
        ours = torch.autograd.grad(with_padding["pcl"] + with_padding["ocl"], padded)
        for mine, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(mine[:3], other)
            assert not mine[3].any()


def test_padding_boxes_change_nothing() -> None:
    key, view, plan = drawn_batch([1, 2])
    boxes = torch.nn.functional.pad(plan.boxes_B2N4, (0, 0, 0, 9))
    ids = torch.nn.functional.pad(plan.box_ids_B2N, (0, 9), value=-1)
    padded = correspondence_losses(key, view, plan._replace(boxes_B2N4=boxes, box_ids_B2N=ids))
    torch.testing.assert_close(padded, correspondence_losses(key, view, plan))


def test_gradients_reach_only_what_is_compared() -> None:
    key, view, plan = drawn_batch([1, 2])
    t, after, anchor = plan.pair_B, plan.pair_B + 1, plan.anchor_B
    rows = torch.arange(2)
    pixels = torch.autograd.grad(correspondence_losses(key, view, plan, with_ocl=False)["pcl"], [key, view])
    assert not pixels[0][rows, t].any()  # labels carry none
    assert pixels[0][rows, after].any() and pixels[0][rows, anchor].any() and pixels[1].any()
    drawn = torch.zeros(2, 81, dtype=torch.bool).scatter_(1, plan.positions_BSA[:, 0], True)
    assert not pixels[0][rows, anchor].flatten(2).transpose(1, 2)[~drawn].any()
    objects = torch.autograd.grad(correspondence_losses(key, view, plan, with_pcl=False)["ocl"], key)[0]
    assert not objects[rows, after].any() and objects[rows, t].any() and objects[rows, anchor].any()


# Precision


def test_losses_do_not_depend_on_autocast() -> None:
    key, view, plan = drawn_batch([1, 2, 3])
    expected = correspondence_losses(key, view, plan)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(correspondence_losses(key, view, plan), expected, atol=0, rtol=0)
        rounded = correspondence_losses(key.bfloat16(), view.bfloat16(), plan)
    exact = correspondence_losses(key.bfloat16().float(), view.bfloat16().float(), plan)
    torch.testing.assert_close(rounded, exact, atol=0, rtol=0)
    assert rounded["pcl"].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_keys_stay_finite_over_300_steps(dtype: torch.dtype) -> None:
    features, view_features, plan = drawn_batch([1, 2])
    project = torch.nn.Conv2d(8, 64, 1)
    with torch.no_grad():
        project.weight.mul_(60)
    optimizer = torch.optim.AdamW(project.parameters(), lr=1e-3)

    def keys(x: Tensor) -> Tensor:
        return project(x.detach().flatten(0, 1)).unflatten(0, x.shape[:2])

    for step in range(300):
        with torch.autocast("cpu", dtype=dtype):
            key, view = keys(features), keys(view_features)
            losses = correspondence_losses(key, view, plan)
        if step in (0, 299):
            flat = key.detach().flatten(3)
            assert 2 * (flat.float().transpose(2, 3) @ flat.float()).abs().max() > 65504
            # What the released code does: the products in the keys' own precision.
            halves = flat.half()
            assert not (2 * (halves.transpose(2, 3) @ halves)).isfinite().all()
        optimizer.zero_grad()
        (losses["pcl"] + losses["ocl"]).backward()
        assert losses["pcl"].isfinite() and losses["ocl"].isfinite(), step
        assert all(p.grad is not None and p.grad.isfinite().all() for p in project.parameters()), step
        optimizer.step()


# Options and errors


def test_weight_by_hand() -> None:
    values = [correspondence_weight(progress, 0.2, (0.2, 0.6)) for progress in (0, 0.2, 0.3, 0.4, 0.6, 1)]
    assert values == pytest.approx([0, 0, 0.05, 0.1, 0.2, 0.2])
    assert values[0] == values[1] == 0 and values[-1] == 0.2
    assert [correspondence_weight(x, 0.2, (0.5, 0.5)) for x in (0, 0.49, 0.5, 1)] == [0, 0, 0.2, 0.2]
    assert correspondence_weight(0.0, 0.2, (0.0, 0.0)) == 0.2


def test_a_term_that_is_not_wanted_is_not_computed() -> None:
    key, view, plan = drawn_batch([1, 2])
    assert correspondence_losses(key, view, plan, with_pcl=False, with_ocl=False) == {}
    assert list(correspondence_losses(key, view, plan)) == ["pcl", "ocl", "clips_without_objects"]


def test_one_clip_is_refused_where_others_are_needed() -> None:
    key, plan = one_clip()
    with pytest.raises(ValueError, match="the object-level loss tells objects from those of other clips, received one"):
        correspondence_losses(key, None, plan, negatives="intra")
    for negatives in NEGATIVES[1:]:
        message = (
            rf"negatives '{negatives}' needs other clips, received one clip: expected at least two .*or negatives 'i"
        )
        with pytest.raises(ValueError, match=message):
            correspondence_losses(key, None, plan, negatives=negatives, with_ocl=False)
    assert correspondence_losses(key, None, plan, negatives="intra", with_ocl=False)["pcl"].isfinite()


def test_a_plan_without_the_view_is_refused() -> None:
    key, plan = one_clip()
    with pytest.raises(ValueError, match="the plan holds no positions of the view: expected draw_pair_plan"):
        correspondence_losses(key, key[:, :1], plan, negatives="intra", with_ocl=False)


# Several processes


def test_gathering_equals_the_joined_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(ROOT / "tests" / "correspondence_worker.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = torch.load(tmp_path / "result.pth", weights_only=True)
    key, view, plan = drawn_batch([1, 2, 3, 4])
    for negatives in NEGATIVES:
        losses = correspondence_losses(key, view, plan, negatives=negatives)
        gradients = torch.autograd.grad(losses["pcl"] + losses["ocl"], [key, view])
        expected = [losses["pcl"].detach(), losses["ocl"].detach(), *gradients]
        for ours, truth in zip(result[negatives], expected, strict=True):
            torch.testing.assert_close(ours, truth, atol=1e-7, rtol=1e-5)
    # One clip on each rank is enough.
    torch.testing.assert_close(
        result["single"], correspondence_losses(*drawn_batch([1, 2]))["ocl"].detach(), atol=1e-6, rtol=1e-5
    )
