"""Surjective, bijective and equalized matching on three reference and three query positions, worked out by hand."""

import math

import numpy as np
import pytest
import torch

from model.affinity import keep_best_queries, match_top_k, similarity, softmax_affinity
from model.twoframe.matching import (
    bijective,
    cosine_scores,
    equalized,
    equalized_scores,
    surjective,
)

# Rows are reference positions i, columns query positions j.
SCORES = torch.tensor([[[0.9, 0.5, 0.2], [0.6, 0.8, 0.7], [0.1, 0.3, 0.4]]])
# Two objects, each background then foreground: the first is position 0 and half of position 1, the second position 2.
MASKS = torch.tensor([[[[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]])


def test_surjective_by_hand() -> None:
    expected = [
        [
            [0.3, 0.4, 0.4],
            [0.9, 0.5, 0.35],
        ],  # background: rows 0, half of row 1, row 2; foreground: row 0, half of row 1
        [[0.9, 0.8, 0.7], [0.1, 0.3, 0.4]],
    ]
    torch.testing.assert_close(surjective(SCORES, MASKS), torch.tensor([expected]))


@pytest.mark.parametrize(
    ("k", "kept", "expected"),
    [
        (
            1,  # row 0 keeps query 0, row 1 query 1, row 2 query 2; elsewhere 0.2, 0.6, 0.1
            [[0.9, 0.2, 0.2], [0.6, 0.8, 0.6], [0.1, 0.1, 0.4]],
            [[[0.3, 0.4, 0.4], [0.9, 0.4, 0.3]], [[0.9, 0.8, 0.6], [0.1, 0.1, 0.4]]],
        ),
        (
            2,  # row 0 keeps queries 0 and 1, row 1 and row 2 queries 1 and 2
            [[0.9, 0.5, 0.2], [0.6, 0.8, 0.7], [0.1, 0.3, 0.4]],
            [[[0.3, 0.4, 0.4], [0.9, 0.5, 0.35]], [[0.9, 0.8, 0.7], [0.1, 0.3, 0.4]]],
        ),
    ],
)
def test_bijective_by_hand(k: int, kept: list[list[float]], expected: list[list[list[float]]]) -> None:
    torch.testing.assert_close(keep_best_queries(SCORES, k), torch.tensor([kept]))
    torch.testing.assert_close(bijective(SCORES, MASKS, k), torch.tensor([expected]))


def test_bijective_with_two_of_four_by_hand() -> None:
    scores = torch.tensor([[[0.9, 0.8, 0.3, 0.1], [0.2, 0.4, 0.6, 0.5]]])
    kept = torch.tensor([[[0.9, 0.8, 0.1, 0.1], [0.2, 0.2, 0.6, 0.5]]])
    torch.testing.assert_close(keep_best_queries(scores, 2), kept)
    mask = torch.tensor([[[[0.5, 0.5], [0.5, 1.0]]]])
    expected = torch.tensor([[[[0.45, 0.4, 0.3, 0.25], [0.45, 0.4, 0.6, 0.5]]]])
    torch.testing.assert_close(bijective(scores, mask, 2), expected)


def test_equalized_by_hand() -> None:
    # Keys e^<k,q>: powers of two, so that the softmax over a row is a fraction.
    reference = math.log(2) * torch.tensor([[[3.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]).transpose(1, 2)
    query = torch.eye(3)[None]
    rows = [[8 / 10, 1 / 10, 1 / 10], [2 / 5, 2 / 5, 1 / 5], [1 / 3, 1 / 3, 1 / 3]]
    torch.testing.assert_close(equalized_scores(reference, query), torch.tensor([rows]))
    expected = [
        [[1 / 3, 1 / 3, 1 / 3], [0.8, 0.2, 0.1]],
        [[0.8, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]],
    ]
    torch.testing.assert_close(equalized(reference, query, MASKS), torch.tensor([expected]))


def test_cosine_by_hand() -> None:
    reference = torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])  # columns (2, 0) and (0, 5)
    query = torch.tensor([[[1.0, -3.0, 1.0], [0.0, 0.0, 1.0]]])  # columns (1, 0), (-3, 0) and (1, 1)
    diagonal = (1 + math.sqrt(0.5)) / 2
    torch.testing.assert_close(
        cosine_scores(reference, query), torch.tensor([[[1.0, 0.0, diagonal], [0.5, 0.5, diagonal]]])
    )


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 7, 11, generator=generator), torch.rand(2, 3, 2, 7, generator=generator)


@pytest.mark.parametrize("k", [0, 11, 50])
def test_bijective_with_all_queries_is_surjective(k: int) -> None:
    scores, masks = random_case(0)
    assert torch.equal(bijective(scores, masks, k), surjective(scores, masks))


@pytest.mark.parametrize("k", [1, 4])
def test_choosing_before_masking_is_choosing_after_it(k: int) -> None:
    scores, masks = random_case(1)
    masked = scores[:, None, None] * masks.unsqueeze(-1)
    lowest = masked.amin(dim=-1, keepdim=True).expand_as(masked)
    ranks = masked.argsort(dim=-1, descending=True)[..., :k]
    chosen = lowest.scatter(-1, ranks, masked.gather(-1, ranks)).amax(dim=-2)
    torch.testing.assert_close(bijective(scores, masks, k), chosen, rtol=0, atol=0)


def test_objects_and_clips_do_not_meet() -> None:
    scores, masks = random_case(2)
    whole = bijective(scores, masks, 3)
    for clip in range(2):
        for thing in range(3):
            alone = bijective(scores[clip, None], masks[clip, None, thing, None], 3)
            assert torch.equal(whole[clip, thing], alone[0, 0])


def test_queries_that_tie_are_all_kept() -> None:
    scores = torch.tensor([[[0.5, 0.9, 0.5, 0.1]]])
    assert torch.equal(keep_best_queries(scores, 2), scores)


def test_equalized_rows_sum_to_one_over_the_query() -> None:
    keys = 5 * torch.randn(2, 1, 8, 30, generator=torch.Generator().manual_seed(3))
    scores = equalized_scores(keys[0], keys[1])
    torch.testing.assert_close(scores.sum(dim=2), torch.ones(1, 30))
    assert not torch.allclose(scores.sum(dim=1), torch.ones(1, 30), atol=0.1)


def test_matching_is_fp32_under_autocast() -> None:
    keys = torch.randn(1, 8, 30, generator=torch.Generator().manual_seed(4))
    with torch.autocast("cpu", torch.bfloat16):
        scores = cosine_scores(keys, keys), equalized_scores(keys, keys)
    for given, expected in zip(scores, (cosine_scores(keys, keys), equalized_scores(keys, keys)), strict=True):
        assert given.dtype == torch.float32 and torch.equal(given, expected)


def test_gradients_reach_scores_and_masks() -> None:
    scores, masks = (x.double().requires_grad_() for x in random_case(5))
    surjective(scores, masks).sum().backward()
    assert scores.grad is not None and masks.grad is not None
    assert (scores.grad != 0).any() and (masks.grad != 0).any()


@pytest.mark.parametrize("k", [1, 3])
def test_memory_can_be_read_after_a_bijective_step(k: int) -> None:
    generator = torch.Generator().manual_seed(6)
    memory, query = torch.randn(1, 4, 20, generator=generator), torch.randn(1, 4, 12, generator=generator)
    dense = softmax_affinity(keep_best_queries(similarity(memory, None, query, None), k))
    match = match_top_k(memory[0].T, None, query[0], None, None, bijective_k=k)
    sparse = torch.zeros(12, 20).scatter_add(1, match.index_PK, match.weight_PK)
    torch.testing.assert_close(sparse, dense[0].T, atol=1e-5, rtol=1e-4)


def test_memory_is_read_as_ever_without_it() -> None:
    memory, query = torch.randn(20, 4), torch.randn(4, 12)
    expected = match_top_k(memory, None, query, None, 5)
    for k in (0, 12):
        match = match_top_k(memory, None, query, None, 5, bijective_k=k)
        np.testing.assert_array_equal(match.weight_PK, expected.weight_PK)
        np.testing.assert_array_equal(match.index_PK, expected.index_PK)
