"""What must not change the correspondence losses, their precision, weight and errors."""

import pytest
import torch
from torch import Tensor

from model.losses.correspondence import correspondence_weight
from tests.support.paired_batches import NEGATIVES, Batch, batch_of, drawn_batch, one_clip

# What must not change a loss


def test_the_order_of_clips_changes_nothing() -> None:
    one, other = drawn_batch([5, 6, 7, 8]), drawn_batch([7, 5, 8, 6])
    for negatives in NEGATIVES:
        torch.testing.assert_close(one.pcl(negatives), other.pcl(negatives))
    torch.testing.assert_close(one.ocl(), other.ocl())


def test_padding_boxes_change_nothing() -> None:
    batch = drawn_batch([1, 2])
    padded = batch._replace(compared=batch.compared.pad_boxes(21))
    torch.testing.assert_close(padded.ocl(), batch.ocl())


def test_gradients_reach_only_what_is_compared() -> None:
    batch = drawn_batch([1, 2])
    t, anchor = batch.compared.pair_B, batch.compared.anchor_B
    after, rows = t + 1, torch.arange(2)
    pixels = torch.autograd.grad(batch.pcl(), batch.leaves())
    assert not pixels[0][rows, t].any()  # labels carry none
    assert pixels[0][rows, after].any() and pixels[0][rows, anchor].any() and pixels[1].any()
    drawn = torch.zeros(2, 81, dtype=torch.bool).scatter_(1, batch.positions[:, 0], True)
    assert not pixels[0][rows, anchor].flatten(2).transpose(1, 2)[~drawn].any()
    objects = torch.autograd.grad(batch.ocl(), batch.key)[0]
    assert not objects[rows, after].any() and objects[rows, t].any() and objects[rows, anchor].any()


# Precision


def both(batch: Batch) -> list[Tensor]:
    return [batch.pcl(), batch.ocl()]


def test_losses_do_not_depend_on_autocast() -> None:
    batch = drawn_batch([1, 2, 3])
    key, view = batch.leaves()
    expected = both(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(both(batch), expected, atol=0, rtol=0)
        rounded = both(batch._replace(key=key.bfloat16(), view=view.bfloat16()))
    exact = both(batch._replace(key=key.bfloat16().float(), view=view.bfloat16().float()))
    torch.testing.assert_close(rounded, exact, atol=0, rtol=0)
    assert all(loss.dtype == torch.float32 for loss in rounded)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_keys_stay_finite_over_300_steps(dtype: torch.dtype) -> None:
    batch = drawn_batch([1, 2])
    features, view_features = batch.leaves()
    project = torch.nn.Conv2d(8, 64, 1)
    with torch.no_grad():
        project.weight.mul_(60)
    optimizer = torch.optim.AdamW(project.parameters(), lr=1e-3)

    def keys(x: Tensor) -> Tensor:
        return project(x.detach().flatten(0, 1)).unflatten(0, x.shape[:2])

    for step in range(300):
        with torch.autocast("cpu", dtype=dtype):
            key, view = keys(features), keys(view_features)
            losses = both(batch._replace(key=key, view=view))
        if step in (0, 299):
            flat = key.detach().flatten(3)
            assert 2 * (flat.float().transpose(2, 3) @ flat.float()).abs().max() > 65504
            # What the released code does: the products in the keys' own precision.
            halves = flat.half()
            assert not (2 * (halves.transpose(2, 3) @ halves)).isfinite().all()
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        assert all(loss.isfinite() for loss in losses), step
        assert all(p.grad is not None and p.grad.isfinite().all() for p in project.parameters()), step
        optimizer.step()


# Weight and errors


def test_weight_by_hand() -> None:
    values = [correspondence_weight(progress, 0.2, (0.2, 0.6)) for progress in (0, 0.2, 0.3, 0.4, 0.6, 1)]
    assert values == pytest.approx([0, 0, 0.05, 0.1, 0.2, 0.2])
    assert values[0] == values[1] == 0 and values[-1] == 0.2
    assert [correspondence_weight(x, 0.2, (0.5, 0.5)) for x in (0, 0.49, 0.5, 1)] == [0, 0, 0.2, 0.2]
    assert correspondence_weight(0.0, 0.2, (0.0, 0.0)) == 0.2


def test_one_clip_is_refused_where_others_are_needed() -> None:
    batch = one_clip()
    with pytest.raises(ValueError, match="the object-level loss tells objects from those of other clips, received one"):
        batch.ocl()
    for negatives in NEGATIVES[1:]:
        message = (
            rf"negatives '{negatives}' needs other clips, received one clip: expected at least two .*or negatives 'i"
        )
        with pytest.raises(ValueError, match=message):
            batch.pcl(negatives)
    assert batch.pcl("intra").isfinite()


def test_a_view_without_positions_is_refused() -> None:
    key = one_clip().key
    with pytest.raises(ValueError, match="expected positions of 2 sets of anchors, .* received those of 1"):
        batch_of(key, [[0, 3]], view=key[:, :1]).pcl("intra")
