"""Joint losses of parts: their gradients at the keys are those of the whole batch."""

from dataclasses import replace

import pytest
import torch

from model.losses.criterion import LossInput, compute_losses, loss_weights, split_weights, total_loss
from model.losses.joint import feed, joint_gradients
from model.network import ClipKeys
from tests.support.paired_batches import drawn_batch
from util.config.presets import preset

RUN = replace(preset("stcn", "tiny"), correspondence=replace(preset("stcn", "tiny").correspondence, ramp=(0.0, 0.0)))
ALONE, JOINT = split_weights(loss_weights(RUN, 0.5), parts=2)


def keys_of(seeds: list[int]) -> ClipKeys:
    batch = drawn_batch(seeds)
    return ClipKeys(batch.key, view_key=batch.view)


def test_weights_are_split_where_a_step_has_parts() -> None:
    expected = {"cross_entropy": 1, "dice": RUN.loss.dice, "mask_matching": 0, "pcl": 0, "pcl_released": 0, "ocl": 0}
    assert expected == ALONE
    assert {"pcl": 0.2, "ocl": pytest.approx(0.1)} == {name: weight for name, weight in JOINT.items() if weight}
    own, joint = split_weights(loss_weights(RUN, 0.5), parts=1)
    assert own == loss_weights(RUN, 0.5) and not any(joint.values())


def test_gradients_of_parts_are_those_of_the_whole() -> None:
    parts = [[1, 2], [3], [4, 5]]
    # Parts differ in their numbers of boxes, as batches do.
    compared = [drawn_batch(seeds).compared.pad_boxes(12 + len(seeds)) for seeds in parts]
    losses, counts, gradients = joint_gradients(
        [keys_of(seeds).detach() for seeds in parts], compared, RUN, JOINT, step=0
    )
    whole = drawn_batch([1, 2, 3, 4, 5])
    nothing = torch.zeros(0)
    keys = ClipKeys(whole.key, view_key=whole.view)
    expected, _ = compute_losses(LossInput(nothing, keys, nothing, nothing, whole.compared, RUN, 0), JOINT)
    total = total_loss(expected, JOINT)
    assert list(losses) == ["pcl", "ocl"] and counts["clips_without_objects"] == 0
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name].detach())
    truth = torch.autograd.grad(total, whole.leaves())
    for n, name in enumerate(("key", "view_key")):
        found = [getattr(part, name) for part in gradients if part is not None]
        assert [len(x) for x in found] == [2, 1, 2]
        torch.testing.assert_close(torch.cat(found), truth[n])
    assert gradients[0] is not None and gradients[0].shrinkage is None


def test_what_is_fed_has_that_gradient() -> None:
    keys, gradients = keys_of([1]), keys_of([2]).detach()
    leaves = [keys.key, keys.view_key]
    found = torch.autograd.grad(feed(keys, gradients._replace(head_key=torch.ones(3))), leaves)  # type: ignore[arg-type]
    torch.testing.assert_close(found[0], gradients.key)
    torch.testing.assert_close(found[1], gradients.view_key)


def test_small_gradients_of_half_keys_do_not_vanish() -> None:
    keys = [ClipKeys(*[None if x is None else x.half() for x in keys_of([s]).detach()]) for s in (1, 2)]  # type: ignore[arg-type]
    small = {name: 1e-6 * weight for name, weight in JOINT.items()}
    _, _, gradients = joint_gradients(keys, [drawn_batch([s]).compared for s in (1, 2)], RUN, small, step=0)
    part = gradients[0]
    assert part is not None and part.key.dtype == torch.float32
    assert part.key.any() and not part.key.half().any(), "they are below what fp16 can hold"
