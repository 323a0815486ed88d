"""What must not change the correspondence losses, their precision, options and errors, and several processes."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.losses.correspondence import PairPlan, correspondence_losses, correspondence_weight
from model.losses.released import released_losses
from tests.support.paired_batches import NEGATIVES, drawn_batch, one_clip, released_batch
from tests.support.paths import ROOT

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
        [*command, str(ROOT / "tests" / "support" / "correspondence_worker.py"), str(tmp_path)],
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
    key, view, released_plan = released_batch([1, 2, 3, 4])
    total = torch.stack(list(released_losses(key, view, released_plan).values())).sum()
    expected = [total.detach(), *torch.autograd.grad(total, [key, view])]
    for ours, truth in zip(result["released"], expected, strict=True):
        torch.testing.assert_close(ours, truth, atol=1e-7, rtol=1e-5)
    # One clip on each rank is enough.
    torch.testing.assert_close(
        result["single"], correspondence_losses(*drawn_batch([1, 2]))["ocl"].detach(), atol=1e-6, rtol=1e-5
    )
