"""The sensory memory's updates, written out and by hand."""

import math

import torch
import torch.nn.functional as F

from model.layers.sensory import SensoryReinforcer, SensoryUpdater, gated_update


def test_gates_by_hand() -> None:
    # forget = sigmoid(0) = 1/2, update = sigmoid(ln 3) = 3/4, new = tanh(ln 2) = 3/5.
    values = torch.tensor([0.0, math.log(3), math.log(2)]).view(1, 1, 3, 1, 1)
    state = torch.full((1, 1, 1, 1, 1), 8.0)
    torch.testing.assert_close(gated_update(values, state).item(), 0.5 * 8 * 0.25 + 0.75 * 0.6, atol=1e-6, rtol=0)
    assert gated_update(values.half(), state).dtype == torch.float32


def test_a_state_stays_bounded() -> None:
    values = 5 * torch.randn(1, 2, 12, 3, 3, generator=torch.Generator().manual_seed(0))
    state = torch.zeros(1, 2, 4, 3, 3)
    for _ in range(50):
        state = gated_update(values, state)
    assert state.abs().max() <= 1


@torch.no_grad()
def test_decoder_update_written_out() -> None:
    torch.manual_seed(0)
    g16, g8, g4 = torch.randn(2, 3, 5, 2, 3), torch.randn(2, 3, 4, 4, 6), torch.randn(2, 3, 4, 8, 12)
    logit, state = torch.randn(2, 3, 1, 8, 12), torch.randn(2, 3, 6, 2, 3)
    update = SensoryUpdater((5, 4, 4), 7, 6)
    ours = update(g16, g8, g4, logit, state)
    for thing in range(3):
        with_logit = F.avg_pool2d(torch.cat([g4[:, thing], logit[:, thing]], dim=1), 4)
        g = update.g16_conv(g16[:, thing]) + update.g8_conv(F.avg_pool2d(g8[:, thing], 2)) + update.g4_conv(with_logit)
        values = update.transform(torch.cat([g, state[:, thing]], dim=1))
        f, u, n = values[:, :6].sigmoid(), values[:, 6:12].sigmoid(), values[:, 12:].tanh()
        torch.testing.assert_close(ours[:, thing], f * state[:, thing] * (1 - u) + u * n)


@torch.no_grad()
def test_deep_update_written_out() -> None:
    torch.manual_seed(0)
    value, state = torch.randn(2, 3, 5, 2, 3), torch.randn(2, 3, 4, 2, 3)
    update = SensoryReinforcer(5, 4)
    ours = update(value, state)
    for thing in range(3):
        values = update.transform(torch.cat([value[:, thing], state[:, thing]], dim=1))
        f, u, n = values[:, :4].sigmoid(), values[:, 4:8].sigmoid(), values[:, 8:].tanh()
        torch.testing.assert_close(ours[:, thing], f * state[:, thing] * (1 - u) + u * n)
