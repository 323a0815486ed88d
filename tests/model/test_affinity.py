"""Similarity, affinity and readout against formulas written out."""

import math

import pytest
import torch

from model import affinity
from model.affinity import (
    keep_best_queries,
    match_top_k,
    readout,
    similarity,
    softmax_affinity,
    sparse_readout,
)


def random_memory(seed: int = 0, n: int = 7, p: int = 5, k: int = 4) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    key = torch.randn(1, k, n, generator=g)
    shrinkage = 1 + torch.rand(1, 1, n, generator=g)
    query = torch.randn(1, k, p, generator=g)
    selection = torch.rand(1, k, p, generator=g)
    return key, shrinkage, query, selection


def test_stcn_similarity_by_hand() -> None:
    # Memory keys (1, 0) and (0, 2); query (1, 1). (2 k.q - |k|^2) / sqrt(2): (2 - 1) / sqrt 2 and (4 - 4) / sqrt 2.
    memory = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    query = torch.tensor([[[1.0], [1.0]]])
    torch.testing.assert_close(similarity(memory, None, query, None), torch.tensor([[[1 / math.sqrt(2)], [0.0]]]))


def test_xmem_similarity_by_hand() -> None:
    # s = 2, k = (1, 3), q = (2, 1), e = (1, 0.5): -s * (1 * 1 + 0.5 * 4) / sqrt 2 = -6 / sqrt 2.
    out = similarity(
        torch.tensor([[[1.0], [3.0]]]),
        torch.tensor([[[2.0]]]),
        torch.tensor([[[2.0], [1.0]]]),
        torch.tensor([[[1.0], [0.5]]]),
    )
    torch.testing.assert_close(out, torch.tensor([[[-6 / math.sqrt(2)]]]))


def test_xmem_similarity_equals_the_weighted_distance() -> None:
    key, shrinkage, query, selection = random_memory()
    difference = key[:, :, :, None] - query[:, :, None, :]
    expected = -shrinkage.transpose(1, 2) * (selection[:, :, None, :] * difference**2).sum(1) / math.sqrt(4)
    torch.testing.assert_close(similarity(key, shrinkage, query, selection), expected)


def test_similarity_stays_fp32_and_finite_under_autocast() -> None:
    key = torch.full((1, 64, 3), 60.0, dtype=torch.bfloat16)  # 2 k.q = 460,800, beyond fp16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = similarity(key, None, key, None)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, torch.full((1, 3, 3), 64 * 3600 / 8.0))


@pytest.mark.parametrize("with_shrinkage", [True, False])
def test_all_elements_kept_equals_softmax(with_shrinkage: bool) -> None:
    key, shrinkage, query, selection = random_memory()
    value = torch.randn(7, 6)
    s, e = (shrinkage, selection) if with_shrinkage else (None, None)
    dense = readout(softmax_affinity(similarity(key, s, query, e)), value.T[None])[0].T
    for top_k in (7, 50, None):
        match = match_top_k(key[0].T, None if s is None else s[0].T, query[0], None if e is None else e[0], top_k)
        torch.testing.assert_close(sparse_readout(match, value), dense)


def test_top_k_by_hand() -> None:
    # Similarities 0, -1, -4 (K = 1): the best two share the weight as 1 : 1/e.
    match = match_top_k(torch.tensor([[0.0], [1.0], [2.0]]), None, torch.tensor([[0.0]]), None, 2)
    read = sparse_readout(match, torch.tensor([[1.0], [10.0], [100.0]]))
    torch.testing.assert_close(read, torch.tensor([[(1 + 10 * math.exp(-1)) / (1 + math.exp(-1))]]))


def test_query_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    key, shrinkage, query, selection = random_memory()
    value = torch.randn(7, 6)

    def run() -> torch.Tensor:
        return sparse_readout(match_top_k(key[0].T, shrinkage[0].T, query[0], selection[0], 3), value)

    whole = run()
    monkeypatch.setitem(affinity._BLOCK_ELEMENTS, "cpu", 14)  # two queries at a time
    torch.testing.assert_close(run(), whole)


def test_affinity_sums_to_one_over_memory() -> None:
    key, shrinkage, query, selection = random_memory()
    weights = softmax_affinity(similarity(key, shrinkage, query, selection))
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 5))


def test_bijective_matching_sees_all_queries_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    key, _, query, _ = random_memory()
    scores = keep_best_queries(similarity(key, None, query, None), 2)
    dense = softmax_affinity(scores)[0].T
    monkeypatch.setitem(affinity._BLOCK_ELEMENTS, "cpu", 14)  # two queries at a time, if it were not for this
    match = match_top_k(key[0].T, None, query[0], None, None, bijective_k=2)
    found = torch.zeros_like(dense).scatter(1, match.index_PK, match.weight_PK)
    torch.testing.assert_close(found, dense)
    assert not torch.allclose(dense, softmax_affinity(similarity(key, None, query, None))[0].T)
