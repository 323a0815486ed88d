"""Consolidation by hand and against attention written out; eviction keeps the others in order."""

import math

import pytest
import torch

from inference.memory.long_term import consolidate, least_used_removed


def candidates(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "key": torch.randn(count, 4, generator=g),
        "shrinkage": 1 + torch.rand(count, 1, generator=g),
        "selection": 0.1 + torch.rand(count, 4, generator=g),
        "value": torch.randn(count, 2, 3, generator=g),
        "received": torch.rand(count, generator=g),
        "lived": 1 + torch.rand(count, generator=g),
    }


def test_two_candidates_by_hand() -> None:
    """Usage is 0.2 and 0.75. Scores at the prototype: 0 to itself, -2 * 4 / sqrt(1) to the other."""
    rows = {
        "key": torch.tensor([[1.0], [3.0]]),
        "shrinkage": torch.tensor([[2.0], [5.0]]),
        "selection": torch.tensor([[0.5], [1.0]]),
        "value": torch.tensor([[[10.0]], [[20.0]]]),
        "received": torch.tensor([4.0, 3.0]),  # more than the other's, but over a longer life
        "lived": torch.tensor([20.0, 4.0]),
    }
    made = consolidate(rows, 1)
    other = math.exp(-8) / (1 + math.exp(-8))
    assert made["key"].tolist() == [[3.0]] and made["selection"].tolist() == [[1.0]]
    assert made["value"].item() == pytest.approx(20 - 10 * other)
    assert made["shrinkage"].item() == pytest.approx(5 - 3 * other)


@pytest.mark.parametrize("shrinks", [True, False])
def test_prototypes_read_all_candidates(shrinks: bool) -> None:
    rows = candidates(9)
    if not shrinks:
        del rows["shrinkage"]
    made = consolidate(rows, 4)
    usage = (rows["received"] / rows["lived"]).tolist()
    chosen = sorted(range(9), key=lambda row: -usage[row])[:4]
    torch.testing.assert_close(made["key"], rows["key"][chosen], rtol=0, atol=0)
    scale = rows.get("shrinkage", torch.ones(9, 1))[:, 0]
    for place, row in enumerate(chosen):
        distance = (rows["selection"][row] * (rows["key"] - rows["key"][row]) ** 2).sum(1)
        weight = torch.softmax(-scale * distance / 2, dim=0)  # the root of four channels
        torch.testing.assert_close(made["value"][place], (weight[:, None, None] * rows["value"]).sum(0))
        if shrinks:
            torch.testing.assert_close(made["shrinkage"][place, 0], (weight * scale).sum())
    assert ("shrinkage" in made) == shrinks


def test_no_more_prototypes_than_candidates() -> None:
    made = consolidate(candidates(3), 100)
    assert {name: len(column) for name, column in made.items()} == dict.fromkeys(made, 3)


def test_the_least_used_go_and_the_others_keep_their_order() -> None:
    usage = torch.tensor([0.5, 0.1, 0.9, 0.3, 0.2])
    expected = {0: [0, 1, 2, 3, 4], 1: [0, 2, 3, 4], 2: [0, 2, 3], 4: [2], 5: []}
    assert {count: least_used_removed(usage, count).tolist() for count in expected} == expected
    assert len(least_used_removed(torch.zeros(6), 2)) == 4, "exactly so many, also among equals"
