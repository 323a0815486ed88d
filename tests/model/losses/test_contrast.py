"""The contrast of queries with candidates of all clips, by hand."""

import math

import pytest
import torch

from model.losses.contrast import contrast, take_positions


def test_positions_are_taken_in_reading_order() -> None:
    maps = torch.arange(12.0).view(1, 2, 2, 3)
    assert take_positions(maps, torch.tensor([[5, 0]])).tolist() == [[[5, 11], [0, 6]]]


@pytest.mark.parametrize("real", [None, [[True, False], [True, True]], [[False, True], [True, True]]])
@pytest.mark.parametrize("with_own", [True, False])
def test_by_hand(with_own: bool, real: list[list[bool]] | None) -> None:
    """Each of two clips has one query and two candidates: the right one, which always counts, and another."""
    query, right, other = [0.5, 4.0], [2.0, 5.0], [1.0, 3.0]
    x = torch.tensor([right, other]).T  # clips, candidates
    received = contrast(
        torch.tensor(query).view(2, 1, 1),
        x[:, None, :, None],
        torch.zeros(2, 1, 1, dtype=torch.int64),
        None if real is None else torch.tensor(real),
        with_own,
        gather=False,
    )
    assert received.shape == (2, 1, 1)
    counts = real or [[True, True], [True, True]]
    for clip, strange in ((0, 1), (1, 0)):
        wrong = [value for value, is_real in zip(x[strange].tolist(), counts[strange], strict=True) if is_real]
        if with_own and counts[clip][1]:
            wrong.append(other[clip])
        scores = [-((query[clip] - value) ** 2) for value in (right[clip], *wrong)]
        expected = math.log(sum(map(math.exp, scores))) - scores[0]
        assert received[clip].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
