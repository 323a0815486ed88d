"""Joined convolutions: the same results as apart, in fewer operations."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from model.fast.join import JoinedProjection, JoinedUpdater
from model.layers.encoders import KeyProjection
from model.layers.sensory import SensoryUpdater


class _Convolutions(TorchDispatchMode):
    """Counts convolutions."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func is torch.ops.aten.convolution.default
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_one_convolution_projects_to_key_shrinkage_and_selection() -> None:
    torch.manual_seed(0)
    plain, f16 = KeyProjection(5, 4, anisotropic=True), torch.randn(2, 5, 3, 6)
    joined = JoinedProjection.of(plain)
    with _Convolutions() as seen:
        found = joined(f16)
    assert seen.count == 1
    for here, there in zip(found, plain(f16), strict=True):
        torch.testing.assert_close(here, there)


@torch.no_grad()
def test_what_is_projected_in_half_precision_is_fp32_for_matching() -> None:
    joined = JoinedProjection.of(KeyProjection(5, 4, anisotropic=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = joined(torch.randn(1, 5, 3, 6))
    assert all(isinstance(x, Tensor) and x.dtype == torch.float32 for x in found)


@torch.no_grad()
def test_one_convolution_reduces_all_scales() -> None:
    torch.manual_seed(0)
    plain = SensoryUpdater((5, 4, 4), 7, 6)
    g16, g8, g4 = torch.randn(1, 3, 5, 2, 3), torch.randn(1, 3, 4, 4, 6), torch.randn(1, 3, 4, 8, 12)
    logit, state = torch.randn(1, 3, 1, 8, 12), torch.randn(1, 3, 6, 2, 3)
    with _Convolutions() as seen:
        found = JoinedUpdater.of(plain)(g16, g8, g4, logit, state)
    assert seen.count == 2  # and that of the gates
    torch.testing.assert_close(found, plain(g16, g8, g4, logit, state))
