"""EfficientNet-Lite0: its published shape, blocks and shortcuts."""

import pytest
import torch
from torch import nn

from model.layers.efficientnet import EFFICIENTNET_LITE0, Group, InvertedResidual


def test_the_trunk_has_the_published_blocks() -> None:
    stages = EFFICIENTNET_LITE0.build_stages()
    blocks = [block for stage in stages for block in stage]
    # Kernel, stride, width and output channels, from Tan and Le's table 1 with Lite0's multipliers of 1.
    expected = [(3, 1, 32, 16), (3, 2, 96, 24), (3, 1, 144, 24), (5, 2, 144, 40), (5, 1, 240, 40)]
    expected += [(3, 2, 240, 80), (3, 1, 480, 80), (3, 1, 480, 80), (5, 1, 480, 112), (5, 1, 672, 112)]
    expected += [(5, 1, 672, 112)]
    layers = [(block.conv2, block.conv3) for block in blocks if isinstance(block, InvertedResidual)]
    found = [(a.kernel_size[0], a.stride[0], a.out_channels, b.out_channels) for a, b in layers]
    assert found == expected and all(depthwise.groups == depthwise.in_channels for depthwise, _ in layers)
    assert EFFICIENTNET_LITE0.channels == (24, 40, 112)


def test_a_block_adds_its_input_where_both_fit() -> None:
    group = Group(channels=4, blocks=1, expansion=2, kernel=3, stride=1)
    x = torch.randn(1, 4, 6, 6)
    for block, adds in (
        (InvertedResidual(4, group, 1, bias=False), True),
        (InvertedResidual(4, group, 2, bias=False), False),
        (InvertedResidual(8, group, 1, bias=False), False),
    ):
        nn.init.zeros_(block.eval().bn3.weight)
        assert isinstance(block.conv1, nn.Conv2d)
        out = block(x if block.conv1.in_channels == 4 else torch.cat([x, x], dim=1))
        torch.testing.assert_close(out, x if adds else torch.zeros_like(out))


def test_without_expansion_there_is_no_first_convolution() -> None:
    block = InvertedResidual(4, Group(channels=4, blocks=1, expansion=1, kernel=3, stride=1), 1, bias=True)
    assert not [name for name, _ in block.named_parameters() if name.startswith(("conv1", "bn1"))]


@pytest.mark.parametrize("value", [-1.0, 3.0, 9.0])
def test_activations_end_at_six(value: float) -> None:
    assert EFFICIENTNET_LITE0.after_stem(torch.tensor([value])).item() == min(max(value, 0.0), 6.0)
