"""BatchNorm folded into convolutions: the same results and gradients."""

import pytest
import torch
from torch import nn

from model.fast import fold
from model.fast.fold import FoldedConv, fold_for_good, multiply, pairs


def pair(bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias), nn.BatchNorm2d(4)
    both = nn.Sequential(conv, norm).double()
    both(torch.randn(8, 3, 9, 9).double())  # statistics to keep
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    return both.eval()


@pytest.mark.parametrize("bias", [False, True])
def test_kept_statistics_fold_into_the_convolution(bias: bool) -> None:
    both = pair(bias)
    conv, norm = both
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    x, weight = torch.randn(2, 3, 9, 9).double(), torch.randn(2, 4, 5, 5).double()
    results = []
    for y in (both(x), FoldedConv(conv, norm)(x)):
        results.append([y, *torch.autograd.grad((y * weight).sum(), list(both.parameters()))])
    torch.testing.assert_close(results[1], results[0])


def test_folding_for_good_leaves_one_convolution() -> None:
    both = pair(bias=True)
    x = torch.randn(2, 3, 9, 9).double()
    original = both[0]
    assert isinstance(original, nn.Conv2d)
    expected, before = both(x), original.weight.clone()
    fold_for_good(both)
    torch.testing.assert_close(both(x), expected)
    assert isinstance(both[1], nn.Identity) and torch.equal(original.weight, before)


def test_only_a_convolution_in_front_of_a_normalisation_is_a_pair() -> None:
    chain = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    assert [(before, name) for _, before, name in pairs(chain)] == [("3", "4")]


def test_a_frozen_layer_among_others_that_train_asks_for_no_gradient() -> None:
    frozen, trained = (FoldedConv(*pair(bias=False)) for _ in range(2))  # type: ignore[arg-type]
    frozen.requires_grad_(False)
    (weight, bias), others = FoldedConv.derive_all([frozen, trained])
    assert not weight.requires_grad and not bias.requires_grad and all(x.requires_grad for x in others)
    for found, layer in (((weight, bias), frozen), (others, trained)):
        torch.testing.assert_close(found, layer.derive())


def test_products_of_one_shape_are_computed_together_and_keep_their_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "starts_cost", lambda _: True)
    shapes = [(4, 3, 3, 3), (4, 3, 3, 3), (5, 3, 1, 1), (4, 3, 3, 3), (6, 2, 3, 3)]
    weights = [torch.randn(shape).contiguous(memory_format=torch.channels_last) for shape in shapes]
    weights[3] = weights[3].contiguous()
    scales = [torch.rand(shape[0], 1, 1, 1) for shape in shapes]
    for weight, scale, out in zip(weights, scales, multiply(weights, scales), strict=True):
        assert out.equal(weight * scale) and out.stride() == weight.stride()
