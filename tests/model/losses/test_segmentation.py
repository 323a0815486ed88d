"""Losses: by hand, against the published code's figures, and their invariants."""

import json
import math

import numpy as np
import pytest
import torch

from model.losses.segmentation import (
    bootstrap_share,
    bootstrapped_cross_entropy,
    dice_loss,
    mean_iou,
)
from tests.support.losses import segmentation_losses, total
from tests.support.paths import DATA


def golden(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, dict[str, float]]]:
    with np.load(DATA / f"{name}_losses.npz") as file:
        logits = torch.from_numpy(file["logits"]).transpose(0, 1)
        labels = torch.from_numpy(file["classes"])
        valid = torch.arange(2) < torch.from_numpy(file["num_objects"])[:, None]
        return logits, labels, valid, json.loads(str(file["result"]))


@pytest.mark.parametrize("step", [0, 20_000, 45_000, 70_000, 80_000])
@pytest.mark.parametrize("name", ["xmem", "stcn"])
def test_losses_equal_the_published_code(name: str, step: int) -> None:
    logits, labels, valid, results = golden(name)
    expected = results[str(step)]
    share = bootstrap_share(step, 20_000, 70_000, 0.15)
    assert share == pytest.approx(expected["p"], abs=1e-9)
    # STCN's file holds logits of the frames after the first only where its losses name them: 1 and 2, as XMem's 1 to 3.
    frames = range(1, logits.shape[1])
    for t in frames:
        one = slice(t, t + 1)
        losses = segmentation_losses(logits[:, one], labels[:, one], valid, share=share, slots=2, dice=name == "xmem")
        term = f"ce_loss_{t}" if name == "xmem" else f"loss_{t}"
        assert losses["cross_entropy"].item() == pytest.approx(expected[term], abs=1e-5)
        if name == "xmem":
            assert losses["dice"].item() == pytest.approx(expected[f"dice_loss_{t}"], abs=1e-5)
    losses = segmentation_losses(logits[:, 1:], labels[:, 1:], valid, share=share, slots=2, dice=name == "xmem")
    assert total(losses).item() == pytest.approx(expected["total_loss"], rel=1e-6, abs=1e-5)


def test_share_falls_linearly_between_two_steps() -> None:
    shares = [bootstrap_share(step, 10, 20, 0.2) for step in (0, 9, 10, 15, 20, 99)]
    assert shares == pytest.approx([1, 1, 1, 0.6, 0.2, 0.2])


def test_cross_entropy_by_hand() -> None:
    # Two labels, four pixels: probabilities of the true label 1/2, 1/4, 1/8, 3/4.
    logits = torch.log(torch.tensor([[0.5, 0.75, 0.125, 0.25], [0.5, 0.25, 0.875, 0.75]])).reshape(1, 1, 2, 1, 4)
    labels, valid = torch.tensor([[[[0, 1, 0, 1]]]]), torch.tensor([[True]])
    losses = [math.log(2), math.log(4), math.log(8), math.log(4 / 3)]
    everything = bootstrapped_cross_entropy(logits, labels, valid, 1.0)
    assert everything.item() == pytest.approx(sum(losses) / 4)
    hardest = bootstrapped_cross_entropy(logits, labels, valid, 0.5)
    assert hardest.item() == pytest.approx((losses[1] + losses[2]) / 2)
    assert bootstrapped_cross_entropy(logits, labels, valid, 1e-9).item() == pytest.approx(losses[2])


def test_dice_by_hand() -> None:
    # One object, probabilities 1/2 and 3/4 on two pixels, of which the second is the object.
    logits = torch.log(torch.tensor([[0.5, 0.25], [0.5, 0.75]])).reshape(1, 1, 2, 1, 2)
    labels = torch.tensor([[[[0, 1]]]])
    assert dice_loss(logits, labels, slots=1).item() == pytest.approx(1 - (2 * 0.75 + 1) / (1.25 + 1 + 1))
    assert dice_loss(logits, labels, slots=2).item() == pytest.approx((1 - 2.5 / 3.25) / 2)


def test_padded_objects_change_neither_losses_nor_gradients() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 2, 4, 4, requires_grad=True)
    labels = torch.randint(0, 2, (2, 3, 4, 4))
    alone = segmentation_losses(logits, labels, torch.ones(2, 1, dtype=torch.bool), share=0.5, slots=3, dice=True)
    wide = torch.cat([logits, torch.full((2, 3, 2, 4, 4), -torch.inf)], dim=2)
    valid = torch.tensor([[True, False, False]] * 2)
    padded = segmentation_losses(wide, labels, valid, share=0.5, slots=3, dice=True)
    for name, loss in alone.items():
        torch.testing.assert_close(padded[name], loss)
    (expected,) = torch.autograd.grad(total(alone), logits)
    (received,) = torch.autograd.grad(total(padded), logits)
    torch.testing.assert_close(received, expected)
    assert mean_iou(wide, labels, valid) == mean_iou(logits, labels, valid[:, :1])


def test_mean_iou_by_hand() -> None:
    logits = torch.zeros(1, 1, 3, 1, 4)
    logits[0, 0, 1, 0, :2] = 1  # predicts label 1, 1, 0, 0
    labels = torch.tensor([[[[0, 1, 1, 0]]]])
    assert mean_iou(logits, labels, torch.tensor([[True, False]])).item() == pytest.approx(1 / 3)
    assert mean_iou(logits, labels, torch.tensor([[True, True]])).item() == pytest.approx((1 / 3 + 1) / 2)


def test_mean_iou_runs_over_clips_so_that_batches_compose() -> None:
    logits = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 3, (2, 2, 4, 4), generator=torch.Generator().manual_seed(1))
    valid = torch.tensor([[True, True], [True, False]])
    parts = [mean_iou(logits[i : i + 1], labels[i : i + 1], valid[i : i + 1]).item() for i in range(2)]
    assert mean_iou(logits, labels, valid).item() == pytest.approx(sum(parts) / 2)


def test_dice_over_all_classes_by_hand() -> None:
    # One frame of two pixels, one object: p(object) = 3/4 and 1/4; the truth is object, background.
    logits = torch.log(torch.tensor([[0.25, 0.75], [0.75, 0.25]])).T[None, None, :, None, :]
    labels = torch.tensor([1, 0])[None, None, None]
    one = 1 - (2 * 0.75 + 1) / (1 + 1 + 1)  # the same for both classes
    assert dice_loss(logits, labels, slots=1).item() == pytest.approx(one)
    assert dice_loss(logits, labels, slots=1, background=True).item() == pytest.approx(2 * one / 2)
    assert dice_loss(logits, labels, slots=3, background=True).item() == pytest.approx(2 * one / 4)
