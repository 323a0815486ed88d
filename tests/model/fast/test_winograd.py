"""Winograd's convolutions against PyTorch's in fp64, and their rounding against PyTorch's in fp32."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.build import build_model
from model.fast import winograd
from model.fast.twin import for_inference
from model.fast.winograd import WinogradBlock, WinogradConv, convolve, transform_filters, transform_for_good, transforms
from model.layers.blocks import ResidualBlock
from model.layers.densenet import DenseEncoder
from model.layers.encoders import KeyEncoder, ValueEncoder
from model.network import VOSNetwork
from model.spacetime.network import SpaceTimeNetwork
from tests.support.random_networks import IMAGE, MASK, one_pass, random_network

TILES = pytest.mark.parametrize("tile", [2, 4])


def example(height: int = 13, width: int = 10, channels: int = 6, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(count, channels, height, width, generator=g)
    return x, torch.randn(5, channels, 3, 3, generator=g), torch.randn(5, generator=g)


@TILES
def test_the_transforms_of_one_dimension_give_exact_correlations(tile: int) -> None:
    filters, pixels, back = transforms(tile)
    g = torch.Generator().manual_seed(0)
    kernel, row = (torch.randn(n, generator=g, dtype=torch.float64) for n in (3, tile + 2))
    expected = torch.stack([(row[i : i + 3] * kernel).sum() for i in range(tile)])
    torch.testing.assert_close(back @ ((filters @ kernel) * (pixels @ row)), expected, rtol=1e-12, atol=1e-12)


@TILES
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 8), (13, 10), (3, 50), (60, 5)])
def test_any_size_equals_the_plain_convolution(tile: int, height: int, width: int) -> None:
    x, weight, bias = example(height, width)
    filters = transform_filters(weight, tile)
    for given in (bias, None):
        expected = F.conv2d(x.double(), weight.double(), None if given is None else given.double(), padding=1)
        for own in (x, x.contiguous(memory_format=torch.channels_last)):
            found = convolve(own, filters, given)
            assert found.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-5)


@TILES
@pytest.mark.parametrize(("height", "width"), [(8, 4), (13, 10)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_relu_before_and_a_shortcut_after(tile: int, height: int, width: int, layout: torch.memory_format) -> None:
    x, weight, bias = example(height, width)
    shortcut = torch.randn(2, 5, height, width).contiguous(memory_format=layout)
    expected = F.conv2d(F.relu(x), weight, bias, padding=1) + shortcut
    given = x.clone()
    found = convolve(x, transform_filters(weight, tile), bias, relu=True, shortcut=shortcut)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
    assert torch.equal(x, given)


@TILES
def test_several_threads_take_wider_bands_with_the_same_result(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = example(70, 9)
    filters, found = transform_filters(weight, tile), []
    for threads in (1, 2, 3, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(convolve(x, filters, bias))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-6)


@TILES
def test_rounding_is_about_that_of_the_plain_sum(tile: int) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 256, 24, 24, generator=g).relu()
    weight = torch.randn(32, 256, 3, 3, generator=g) / 48
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    error = (convolve(x, transform_filters(weight, tile), None) - exact).abs().max() / exact.std()
    assert error < 1.2e-5  # 6e-6 at most; with the points 0, +-1, +-2 it is 2.7e-5


def test_the_usual_points_would_round_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(winograd.POINTS, 4, (0.0, 1.0, -1.0, 2.0, -2.0))
    monkeypatch.setattr(winograd, "transforms", transforms.__wrapped__)
    with pytest.raises(AssertionError):
        test_rounding_is_about_that_of_the_plain_sum(4)


def test_wide_convolutions_take_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "NARROWEST", 4)
    monkeypatch.setattr(winograd, "WIDE", 32)
    for out_channels, points in ((7, 36), (8, 16)):
        conv = nn.Conv2d(4, out_channels, 3, padding=1)
        network = nn.Sequential(conv)
        transform_for_good(network)
        assert isinstance(network[0], WinogradConv) and network[0].filters.shape == (points, 4, out_channels)
        x = torch.randn(1, 4, 6, 7)
        torch.testing.assert_close(network(x), conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 3, 3, padding=1),
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2),
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 5, padding=2),
    ],
)
def test_others_stay(conv: nn.Conv2d, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "NARROWEST", 4)
    network = nn.Sequential(conv)
    transform_for_good(network)
    assert network[0] is conv


@pytest.mark.parametrize("in_channels", [4, 5])
@torch.no_grad()
def test_a_block_may_overwrite_its_input(in_channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "NARROWEST", 4)
    torch.manual_seed(0)
    plain = ResidualBlock(in_channels, 4)
    network = nn.Sequential(ResidualBlock(in_channels, 4))
    network[0].load_state_dict(plain.state_dict())
    transform_for_good(network)
    assert isinstance(network[0], WinogradBlock)
    x = torch.randn(2, in_channels, 8, 12).contiguous(memory_format=torch.channels_last)
    expected = plain(x)
    found = network(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (found.data_ptr() == x.data_ptr()) == (in_channels == 4)


@pytest.mark.parametrize("name", ["stcn", "xmem", "emvos"])
def test_a_twin_has_them_only_on_a_cpu_in_fp32_where_nothing_is_compiled(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "NARROWEST", 8)
    model: VOSNetwork = build_model(name, "tiny") if name == "emvos" else random_network(name)
    cpu = torch.device("cpu")

    def count(twin: nn.Module) -> int:
        return sum(isinstance(module, WinogradConv) for module in twin.modules())

    twin = for_inference(model, cpu)
    assert count(twin) > 3
    encoders = [x for x in twin.modules() if isinstance(x, (KeyEncoder, ValueEncoder, DenseEncoder))]
    assert encoders and not any(count(encoder) for encoder in encoders)
    assert count(for_inference(model, cpu, torch.bfloat16)) == 0
    assert count(for_inference(model, cpu, compiled=True)) == 0
    if isinstance(model, SpaceTimeNetwork) and isinstance(twin, SpaceTimeNetwork):
        assert isinstance(twin.key_comp, WinogradConv if name == "stcn" else nn.Identity)
        torch.testing.assert_close(one_pass(twin, IMAGE, MASK), one_pass(model, IMAGE, MASK), atol=1e-4, rtol=1e-3)
