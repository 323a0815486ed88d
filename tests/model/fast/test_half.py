"""Weights cast once compute what autocast computes with the network's own."""

import pytest
import torch

from model.fast.half import HalfUpsampleBlock
from model.fast.recast import recast
from model.fast.twin import for_inference
from model.layers.blocks import UpsampleBlock
from tests.support.random_networks import IMAGE, MASK, NAMES, one_pass, random_network


@pytest.mark.parametrize("name", NAMES)
def test_half_weights_give_what_autocast_gives(name: str) -> None:
    model, cpu = random_network(name), torch.device("cpu")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plain, half = for_inference(model, cpu, compiled=True), for_inference(model, cpu, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(one_pass(half, IMAGE, MASK), one_pass(plain, IMAGE, MASK), atol=1e-5, rtol=1e-4)
    assert half.decoder.pred.weight.dtype == torch.bfloat16
    after = model.state_dict()
    assert all(after[key].dtype == value.dtype and torch.equal(after[key], value) for key, value in before.items())


@torch.no_grad()
def test_upsampling_stays_in_half_precision() -> None:
    torch.manual_seed(0)
    plain = UpsampleBlock(3, 4, 5)
    half, x = recast(plain, HalfUpsampleBlock), torch.randn(1, 2, 4, 6, 8)
    skip = torch.randn(1, 3, 12, 16)
    torch.testing.assert_close(half(skip, x), plain(skip, x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        enlarged = half.enlarge(x[0].bfloat16())
        assert enlarged.dtype == torch.bfloat16
        torch.testing.assert_close(enlarged.float(), plain.enlarge(x[0].bfloat16()).float(), atol=0.02, rtol=0.01)
