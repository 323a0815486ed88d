"""Soft aggregation by hand."""

import torch

from model.aggregate import aggregate, soft_odds


def test_two_objects_by_hand() -> None:
    # p = 0.5 and 0.8: background 0.5 * 0.2 = 0.1; odds 1/9, 1 and 4.
    prob = torch.softmax(aggregate(torch.tensor([0.5, 0.8]).view(1, 2, 1, 1)), dim=1).flatten()
    odds = torch.tensor([1 / 9, 1.0, 4.0])
    torch.testing.assert_close(prob, odds / odds.sum())


def test_certain_masks_stay_finite_and_certain() -> None:
    logits = aggregate(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    assert torch.isfinite(logits).all()
    assert torch.softmax(logits, 1)[0, 1].item() > 1 - 1e-6


def test_half_precision_input_is_computed_in_fp32() -> None:
    logits = aggregate(torch.tensor([1.0], dtype=torch.float16).view(1, 1, 1, 1))
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_an_object_of_probability_zero_changes_little() -> None:
    one = torch.softmax(aggregate(torch.full((1, 1, 1, 1), 0.7)), 1)
    two = torch.softmax(aggregate(torch.tensor([0.7, 0.0]).view(1, 2, 1, 1)), 1)
    torch.testing.assert_close(two[:, :2], one, atol=1e-6, rtol=0)


def test_soft_odds_by_hand() -> None:
    # The background's odds are those of the likeliest object's absence.
    logit = torch.tensor([-1.0, 2.0, 0.5]).view(1, 3, 1, 1)
    assert soft_odds(logit).flatten().tolist() == [-2.0, -1.0, 2.0, 0.5]
    padded = soft_odds(logit, torch.tensor([[True, False, True]])).flatten().tolist()
    assert padded == [-0.5, -1.0, -torch.inf, 0.5]


def test_soft_odds_of_padded_objects_and_of_nobody() -> None:
    # p = 0.5 and 0.8: background 1 - 0.8 = 0.2; odds 1/4, 1 and 4.
    logit = torch.logit(torch.tensor([0.5, 0.8])).view(1, 2, 1, 1)
    odds = torch.tensor([0.25, 1.0, 4.0])
    torch.testing.assert_close(torch.softmax(soft_odds(logit), dim=1).flatten(), odds / odds.sum())
    padded = torch.cat([logit, torch.full((1, 1, 1, 1), 50.0)], dim=1)
    logits = soft_odds(padded, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(logits[:, :3], soft_odds(logit))
    assert logits[0, 3] == -torch.inf
    nobody = torch.softmax(soft_odds(logit, torch.tensor([[False, False]])), dim=1)
    assert nobody.flatten().tolist() == [1, 0, 0]
