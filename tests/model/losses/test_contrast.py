"""The contrast of queries with candidates of all clips, by hand."""

import math

import pytest
import torch

from model.losses.contrast import Candidates, Queries, contrast, take_positions


def test_positions_are_taken_in_reading_order() -> None:
    maps = torch.arange(12.0).view(1, 2, 2, 3)
    assert take_positions(maps, torch.tensor([[5, 0]])).tolist() == [[[5, 11], [0, 6]]]


@pytest.mark.parametrize("real", [None, [[True, False], [True, True]], [[False, True], [True, True]]])
@pytest.mark.parametrize("with_own", [True, False])
def test_by_hand(with_own: bool, real: list[list[bool]] | None) -> None:
    """Each of two clips has one query and two candidates: the right one, which always counts, and another."""
    query, right, other = [0.5, 4.0], [2.0, 5.0], [1.0, 3.0]
    x = torch.tensor([right, other]).T  # clips, candidates
    candidates = Candidates(x[:, None, :, None], real_BA=None if real is None else torch.tensor(real))
    target = torch.zeros(2, 1, 1, dtype=torch.int64)
    received = contrast(Queries(torch.tensor(query).view(2, 1, 1)), candidates, target, with_own)
    assert received.shape == (2, 1, 1)
    counts = real or [[True, True], [True, True]]
    for clip, strange in ((0, 1), (1, 0)):
        wrong = [value for value, is_real in zip(x[strange].tolist(), counts[strange], strict=True) if is_real]
        if with_own and counts[clip][1]:
            wrong.append(other[clip])
        scores = [-((query[clip] - value) ** 2) for value in (right[clip], *wrong)]
        expected = math.log(sum(map(math.exp, scores))) - scores[0]
        assert received[clip].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_own_candidates_may_differ_between_queries() -> None:
    x = torch.tensor([[2.0, 1.0], [5.0, 3.0]])
    own = torch.tensor([[[True], [True]], [[True], [False]]])
    queries, candidates = Queries(torch.tensor([0.5, 4.0]).view(2, 1, 1)), Candidates(x[:, None, :, None])
    target = torch.zeros(2, 1, 1, dtype=torch.int64)
    received = contrast(queries, candidates, target, own).flatten()
    with_own, without = (contrast(queries, candidates, target, all_own).flatten() for all_own in (True, False))
    torch.testing.assert_close(received, torch.stack([with_own[0], without[1]]))


def test_anisotropic_similarity_by_hand() -> None:
    # One clip, one query (1, 0) with selection (1, 1/2), candidates (1, 2) and (0, 0) with shrinkage 2 and 1.
    queries = Queries(torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[1.0], [0.5]]]))
    candidates = Candidates(torch.tensor([[[[1.0, 2.0], [0.0, 0.0]]]]), torch.tensor([[[[2.0], [1.0]]]]))
    scores = [-2 * (0.5 * 4) / math.sqrt(2), -1 / math.sqrt(2)]
    expected = math.log(sum(map(math.exp, scores))) - scores[1]
    received = contrast(queries, candidates, torch.ones(1, 1, 1, dtype=torch.int64))
    assert received.item() == pytest.approx(expected, rel=1e-5)
