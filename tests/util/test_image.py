"""Padding to a multiple: where the rows and columns go, and what is in them."""

import pytest
import torch
import torch.nn.functional as F

from util.image import Padding, pad, padding_to_multiple, reflect


def test_the_odd_one_is_last_or_first() -> None:
    assert padding_to_multiple(11, 32, 16) == Padding(left=0, right=0, top=2, bottom=3)
    assert padding_to_multiple(11, 32, 16, odd_first=True) == Padding(left=0, right=0, top=3, bottom=2)
    assert padding_to_multiple(32, 5, 16, odd_first=True) == Padding(left=6, right=5, top=0, bottom=0)


@pytest.mark.parametrize("size", [(11, 13), (16, 32), (9, 17)])
def test_reflection_is_pytorchs_where_that_goes(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    padding = padding_to_multiple(*size, 16, odd_first=True)
    padded = reflect(x, padding)
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert torch.equal(padded, F.pad(x, tuple(padding), mode="reflect"))
    assert torch.equal(padding.crop(padded), x)


def test_a_side_smaller_than_what_is_added() -> None:
    row = torch.tensor([[1.0, 2.0, 3.0]])
    padded = reflect(row, Padding(left=7, right=6, top=2, bottom=0))
    assert padded.tolist() == [[2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1]] * 3


def test_zeros() -> None:
    x = torch.ones(1, 2, 3)
    padded = pad(x, Padding(left=1, right=0, top=0, bottom=2))
    assert padded.sum() == x.sum() and padded.shape == (1, 4, 4)
