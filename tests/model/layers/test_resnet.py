"""Trunks: strides and channels of every size, and what tells one size's weights from another's."""

import pytest
import torch

from model import build_model
from model.fast.twin import for_inference
from model.spacetime.network import SIZES
from model.weights import identify

SMALL_SIZES = [name for name in SIZES if name != "base"]


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_features_lie_at_strides_4_8_and_16(size: str) -> None:
    model = build_model("xmem", size).eval()
    f16, f8, f4 = model.key_encoder(torch.randn(2, 3, 48, 80))
    channels = SIZES[size].key_trunk.channels
    assert [f4.shape, f8.shape, f16.shape] == [
        (2, channels[0], 12, 20),
        (2, channels[1], 6, 10),
        (2, channels[2], 3, 5),
    ]


def test_folding_keeps_what_the_small_network_computes() -> None:
    torch.manual_seed(0)
    model = build_model("xmem", "small")
    model.encode_key(torch.randn(4, 3, 64, 64))  # moves BatchNorm's statistics
    model.eval()
    image = torch.randn(1, 3, 64, 64)
    twin = for_inference(model, torch.device("cpu"))
    torch.testing.assert_close(twin.encode_key(image).key, model.encode_key(image).key, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_weights_tell_their_size(size: str) -> None:
    model = build_model("xmem", size)
    assert identify(model.state_dict(), "weights") == model.config


def test_trunks_of_all_sizes_differ_where_their_weights_are_told_apart() -> None:
    channels = [size.key_trunk.channels[2] for size in SIZES.values()]
    assert len(set(channels)) == len(channels)


def test_the_small_network_has_at_most_5_million_parameters() -> None:
    assert sum(parameter.numel() for parameter in build_model("xmem", "small").parameters()) <= 5_000_000


def test_two_frame_networks_have_no_small_size() -> None:
    with pytest.raises(ValueError, match="unknown size 'small'"):
        build_model("bmvos", "small")
