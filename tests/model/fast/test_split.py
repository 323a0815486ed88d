"""Joint convolutions and blocks in two parts: the same results and gradients as over the concatenation."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from model.fast.recast import recast
from model.fast.split import PartedConv, SplitBlock, SplitConv
from model.layers.blocks import JointConv, JointResidualBlock

BOTH = pytest.mark.parametrize("image_first", [True, False])


def inputs() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(2, 2, 6, 7, generator=g).double(), torch.randn(2, 3, 3, 6, 7, generator=g).double()


@BOTH
def test_a_joint_convolution_is_one_over_the_concatenation(image_first: bool) -> None:
    image, own = inputs()
    conv = JointConv(2, 3, 4, image_first=image_first).double()
    expanded = image.unsqueeze(1).expand(-1, 3, -1, -1, -1)
    joined = torch.cat([expanded, own] if image_first else [own, expanded], dim=2)
    expected = torch.nn.functional.conv2d(joined.flatten(0, 1), conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(image, own), expected.unflatten(0, (2, 3)))
    torch.testing.assert_close(conv(image[:1], own), conv(image[:1].expand(2, -1, -1, -1), own))


@BOTH
@pytest.mark.parametrize("kind", ["conv", "block"])
def test_split_equals_joint_forwards_and_backwards(kind: str, image_first: bool) -> None:
    image, own = (x.requires_grad_() for x in inputs())
    plain: JointConv | JointResidualBlock
    if kind == "conv":
        plain = JointConv(2, 3, 4, image_first=image_first).double()
        split = recast(plain, SplitConv)
    else:
        plain = JointResidualBlock(2, 3, 4, image_first).double()
        split = SplitBlock.of(plain, partial(recast, kind=SplitConv))  # type: ignore[assignment]
    weight = torch.randn(2, 3, 4, 6, 7).double()
    results = []
    for layer in (plain, split):
        y = layer(image, own)
        results.append([y, *torch.autograd.grad((y * weight).sum(), [image, own, *plain.parameters()])])
    torch.testing.assert_close(results[1], results[0])
    with torch.no_grad():
        torch.testing.assert_close(split(image, own.clone()), results[0][0].detach())


@BOTH
@torch.no_grad()
def test_a_convolution_cut_for_good_equals_the_joint_one(image_first: bool) -> None:
    image, own = inputs()
    plain = JointConv(2, 3, 4, image_first=image_first, stride=2).double()
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    torch.testing.assert_close(PartedConv(plain)(image, own), plain(image, own))
    torch.testing.assert_close(plain.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [partial(recast, kind=SplitConv), PartedConv])
@torch.no_grad()
def test_an_image_may_come_prepared_with_others(kind: Callable[[JointConv], SplitConv | PartedConv]) -> None:
    image, own = inputs()
    block = SplitBlock.of(JointResidualBlock(2, 3, 4, True).double(), kind)
    prepared = block.prepare(image)
    torch.testing.assert_close(block(prepared[1:], own[1:].clone()), block(image, own.clone())[1:])
