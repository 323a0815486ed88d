"""Decoders against their formulas, object by object with plain concatenation."""

import torch
from torch import Tensor

from model.layers.blocks import CBAM, JointConv
from model.layers.decoder import FusingDecoder, STCNDecoder, UpsamplingDecoder

SKIPS = (5, 4)  # channels at strides 8 and 4
F16, F8, F4 = torch.randn(2, 6, 2, 3), torch.randn(2, 5, 4, 6), torch.randn(2, 4, 8, 12)


def convolve(conv: JointConv | torch.nn.Conv2d, x: Tensor) -> Tensor:
    return torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)


def joint_residual(block: torch.nn.Module, x: Tensor) -> Tensor:
    hidden = convolve(block.conv1, x.relu())  # type: ignore[arg-type]
    out = convolve(block.conv2, hidden.relu()) + convolve(block.downsample, x)  # type: ignore[arg-type]
    return out


def upsampled(decoder: UpsamplingDecoder, g16: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From one object's [B,C,Y,X] to g8, g4 and the logit."""
    g = [g16]
    for block, skip in ((decoder.up_16_8, F8), (decoder.up_8_4, F4)):
        up = torch.nn.functional.interpolate(g[-1], size=skip.shape[-2:], mode="bilinear")
        g.append(block.out_conv(up + block.skip_conv(skip)))
    return g[1], g[2], decoder.pred(g[2].relu())


@torch.no_grad()
def test_stcn_reads_the_readout_before_the_image() -> None:
    decoder = STCNDecoder(6, 7, SKIPS, 8, 5)
    readout = torch.randn(2, 3, 7, 2, 3)
    logit, sensory = decoder(decoder.prepare(F16), F8, F4, readout)
    assert sensory is None and logit.shape == (2, 3, 1, 8, 12)
    for thing in range(3):
        g16 = joint_residual(decoder.compress, torch.cat([readout[:, thing], F16], dim=1))
        torch.testing.assert_close(logit[:, thing], upsampled(decoder, g16)[2])


@torch.no_grad()
def test_xmem_reads_image_readout_and_state_in_this_order() -> None:
    decoder = FusingDecoder(6, 7, 3, SKIPS, 8, 5)
    assert isinstance(decoder.fuser.attention, CBAM) and decoder.hidden_update is not None
    readout, state = torch.randn(2, 2, 7, 2, 3), torch.randn(2, 2, 3, 2, 3)
    logit, updated = decoder(F16, F8, F4, readout, state, True)
    for thing in range(2):
        y = joint_residual(decoder.fuser.block1, torch.cat([F16, readout[:, thing], state[:, thing]], dim=1))
        g16 = decoder.fuser.block2(y + decoder.fuser.attention(y))
        g8, g4, alone = upsampled(decoder, g16)
        torch.testing.assert_close(logit[:, thing], alone)
        own = [x[:, None] for x in (g16, g8, g4, alone, state[:, thing])]
        torch.testing.assert_close(updated[:, thing], decoder.hidden_update(*own)[:, 0])


@torch.no_grad()
def test_the_state_is_kept_unless_an_update_is_asked_for() -> None:
    decoder = FusingDecoder(6, 7, 3, SKIPS, 8, 5)
    readout, state = torch.randn(2, 2, 7, 2, 3), torch.randn(2, 2, 3, 2, 3)
    given = state.clone()
    kept = decoder(F16, F8, F4, readout, state, False)
    moved = decoder(F16, F8, F4, readout, state, True)
    assert kept[1] is state and torch.equal(state, given)
    torch.testing.assert_close(kept[0], moved[0])
    assert not torch.equal(moved[1], state)


@torch.no_grad()
def test_without_sensory_channels_there_is_no_state() -> None:
    decoder = FusingDecoder(6, 7, 0, SKIPS, 8, 5)
    readout = torch.randn(2, 2, 7, 2, 3)
    logit, state = decoder(F16, F8, F4, readout, None, True)
    assert state is None and not [name for name in decoder.state_dict() if "hidden_update" in name]
    assert decoder.fuser.block1.conv1.weight.shape[1] == 6 + 7
    alone = decoder(F16, F8, F4, readout[:, 1:], None, True)[0]
    torch.testing.assert_close(logit[:, 1:], alone)
