"""Memory layouts on a CPU: large weights at stride 16 are channels-first, all others channels-last."""

import pytest
import torch
from torch import Tensor, nn

from model.build import build_model
from model.fast.layout import in_layout_of, keep_layouts, lay_out

CPU = torch.device("cpu")
LAST = torch.channels_last


@pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem"])
def test_weights_at_stride_16_are_channels_first(name: str) -> None:
    model = build_model(name, "tiny")
    lay_out(model, CPU)
    first: set[str] = set()
    last: set[str] = set()
    for key, weight in model.named_parameters():
        if weight.ndim == 4 and min(weight.shape) > 1:
            (first if weight.is_contiguous() else last).add(key)
    assert "key_proj.key_proj.weight" in first and "value_encoder.fuser.block2.conv1.weight" in first
    assert "key_encoder.conv1.weight" in last and "decoder.up_16_8.out_conv.conv1.weight" in last
    joint = {"stcn": "decoder.compress.conv1.weight"}.get(name, "decoder.fuser.block1.conv1.weight")
    assert joint in first and (name != "stcn" or "key_comp.weight" in first)


@torch.no_grad()
def test_features_follow_the_weights() -> None:
    model = build_model("xmem", "tiny")
    lay_out(model, CPU)
    keep_layouts(model)
    f16, f8, _ = model.key_encoder(torch.randn(2, 3, 32, 48).contiguous(memory_format=LAST))
    assert f16.is_contiguous() and f8.is_contiguous(memory_format=LAST)
    seen: list[Tensor] = []
    block: nn.Module = model.decoder.up_16_8  # type: ignore[union-attr,assignment]
    block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    block(f8, torch.randn(2, 3, 96, 2, 3))
    assert seen[0].flatten(0, 1).is_contiguous(memory_format=LAST)


def test_only_the_layout_changes() -> None:
    x, weight = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 3, 3)
    turned = in_layout_of(weight.contiguous(memory_format=LAST), x)
    assert torch.equal(turned, x) and turned.is_contiguous(memory_format=LAST)
    assert in_layout_of(weight, x) is x
