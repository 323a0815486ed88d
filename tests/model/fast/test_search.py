"""The product and the search of top-k matching against plain ones."""

import pytest
import torch

from model.fast.search import k_largest, product_in_rows


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (3, 16), (1, 1), (4, 33)])
def test_rows_begin_cache_lines_and_hold_the_product(rows: int, columns: int) -> None:
    g = torch.Generator().manual_seed(columns)
    left, right = torch.randn(9, rows, generator=g).T, torch.randn(columns, 9, generator=g).T
    product = product_in_rows(left, right)
    assert product.shape == (rows, columns)
    assert product.stride(1) == 1
    assert product.stride(0) % 16 == 0
    torch.testing.assert_close(product, (left.double() @ right.double()).float())


def test_a_product_that_autograd_watches_has_its_gradient() -> None:
    left, right = torch.randn(3, 2, requires_grad=True), torch.randn(2, 5)
    product_in_rows(left, right).sum().backward()
    torch.testing.assert_close(left.grad, right.sum(1).expand(3, 2))
    with torch.no_grad():
        assert product_in_rows(left, right).stride(0) == 16


@pytest.mark.parametrize(("elements", "k"), [(1620, 30), (999, 7), (64, 1), (31, 30), (30, 30), (121, 2)])
def test_the_largest_by_classes_are_those_of_sorting(elements: int, k: int) -> None:
    padded = torch.randn(50, elements + 9, generator=torch.Generator().manual_seed(elements))
    for scores in (padded[:, :elements].contiguous(), padded[:, :elements]):
        values, index = k_largest(scores, k)
        torch.testing.assert_close(values.sort(dim=1, descending=True).values, scores.sort(1, True).values[:, :k])
        assert torch.equal(scores.gather(1, index), values)
        assert all(len(set(row)) == k for row in index.tolist())
