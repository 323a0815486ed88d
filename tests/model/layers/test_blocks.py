"""Blocks against their formulas written out, and by hand."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.blocks import (
    CBAM,
    FusionBlock,
    JointConv,
    JointResidualBlock,
    ResidualBlock,
    UpsampleBlock,
    merge_objects,
    split_objects,
)


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)


def residual(block: ResidualBlock | JointResidualBlock, x: Tensor) -> Tensor:
    shortcut = x if block.downsample is None else convolve(block.downsample, x)
    return convolve(block.conv2, convolve(block.conv1, x.relu()).relu()) + shortcut


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@torch.no_grad()
def test_objects_merge_and_split() -> None:
    for batch in (1, 2):
        x = torch.randn(batch, 3, 4, 5, 6)
        merged = merge_objects(x)
        assert merged.shape == (3 * batch, 4, 5, 6) and torch.equal(merged[-1], x[-1, -1])
        assert torch.equal(split_objects(merged, batch), x)


@torch.no_grad()
def test_joint_convolution_takes_its_inputs_in_the_stated_order() -> None:
    image, own = torch.randn(2, 2, 6, 8), torch.randn(2, 3, 4, 6, 8)
    for image_first in (True, False):
        conv = JointConv(2, 4, 5, image_first=image_first, stride=2)
        ours = conv(image, own)
        assert ours.shape == (2, 3, 5, 3, 4)
        for thing in range(3):
            pair = [image, own[:, thing]] if image_first else [own[:, thing], image]
            torch.testing.assert_close(ours[:, thing], convolve(conv, torch.cat(pair, dim=1)))


@torch.no_grad()
def test_residual_blocks_written_out() -> None:
    x = torch.randn(2, 4, 5, 6)
    kept = x.clone()
    for out in (4, 7):
        block = ResidualBlock(4, out)
        assert (block.downsample is None) == (out == 4)
        torch.testing.assert_close(block(x), residual(block, x))
        assert torch.equal(x, kept)
    own = torch.randn(2, 3, 2, 5, 6)
    joint = JointResidualBlock(4, 2, 7, image_first=False)
    for thing in range(3):
        torch.testing.assert_close(joint(x, own)[:, thing], residual(joint, torch.cat([own[:, thing], x], dim=1)))


@torch.no_grad()
def test_attention_by_hand_on_a_constant() -> None:
    # Average and maximum of a constant are the constant: its two descriptors give the same, so the gate doubles it.
    block = CBAM(2)
    first, second = block.ChannelGate.mlp[1], block.ChannelGate.mlp[3]
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    first.weight.copy_(torch.tensor([[1.0, 0.5]]))
    first.bias.fill_(0.25)
    second.weight.copy_(torch.tensor([[0.5], [-1.0]]))
    second.bias.zero_()
    conv = block.SpatialGate.spatial.conv
    conv.weight.zero_()
    conv.weight[0, :, 3, 3] = torch.tensor([1.0, -2.0])  # of the maximum and of the mean over channels
    assert conv.bias is not None
    conv.bias.fill_(0.1)
    x = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1).expand(1, 2, 4, 5)
    hidden = 0.5 + 0.5 * 2 + 0.25
    a, b = 0.5 * sigmoid(2 * 0.5 * hidden), 2 * sigmoid(-2 * hidden)
    gate = sigmoid(max(a, b) - (a + b) + 0.1)
    expected = torch.tensor([a * gate, b * gate]).view(1, 2, 1, 1).expand(1, 2, 4, 5)
    torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_fusion_block_written_out() -> None:
    image, own = torch.randn(2, 3, 5, 6), torch.randn(2, 2, 4, 5, 6)
    block = FusionBlock(3, 4, 8, image_first=True)
    ours = block(image, own)
    for thing in range(2):
        y = residual(block.block1, torch.cat([image, own[:, thing]], dim=1))
        torch.testing.assert_close(ours[:, thing], residual(block.block2, y + block.attention(y)))


@torch.no_grad()
def test_upsampling_block_written_out() -> None:
    skip, x = torch.randn(2, 3, 6, 8), torch.randn(2, 2, 4, 3, 4)
    block = UpsampleBlock(3, 4, 5)
    ours = block(skip, x)
    assert ours.shape == (2, 2, 5, 6, 8)
    for thing in range(2):
        up = F.interpolate(x[:, thing], size=(6, 8), mode="bilinear", align_corners=False)
        torch.testing.assert_close(ours[:, thing], residual(block.out_conv, convolve(block.skip_conv, skip) + up))
