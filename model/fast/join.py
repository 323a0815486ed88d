"""Convolutions over the same features, or whose results are added, as one: for inference."""

import torch
from torch import Tensor, nn

from model.fast.frozen import frozen_conv
from model.layers.blocks import concatenate, per_object
from model.layers.encoders import KeyProjection
from model.layers.sensory import SensoryUpdater


class JoinedProjection(KeyProjection):
    """A `KeyProjection` to key, selection and shrinkage by one convolution."""

    @classmethod
    def of(cls, projection: KeyProjection) -> "JoinedProjection":
        """Take the weights over; the projection must have all three."""
        assert projection.d_proj is not None and projection.e_proj is not None
        new = cls.__new__(cls)
        nn.Module.__init__(new)
        convs = [projection.key_proj, projection.e_proj, projection.d_proj]
        bias = torch.cat([_bias(x) for x in convs])
        new.joined = frozen_conv(torch.cat([x.weight for x in convs]), bias, like=projection.key_proj)
        new.sizes = [x.out_channels for x in convs]
        return new

    joined: nn.Conv2d
    sizes: list[int]

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Map [B,C,Y,X] to key, shrinkage and selection in fp32, as matching wants them."""
        key, selection, shrinkage = self.joined(f16).float().split(self.sizes, dim=1)
        return key, shrinkage.square() + 1, torch.sigmoid(selection)


class JoinedUpdater(SensoryUpdater):
    """A `SensoryUpdater` that reduces the features of all scales by one convolution."""

    @classmethod
    def of(cls, updater: SensoryUpdater) -> "JoinedUpdater":
        """Take the weights over."""
        new = cls.__new__(cls)
        nn.Module.__init__(new)
        convs = [updater.g16_conv, updater.g8_conv, updater.g4_conv]
        bias = torch.stack([_bias(x) for x in convs]).sum(dim=0)
        new.joined = frozen_conv(torch.cat([x.weight for x in convs], dim=1), bias, like=updater.g16_conv)
        new.transform = updater.transform
        return new

    joined: nn.Conv2d

    def reduce(self, g16: Tensor, g8: Tensor, g4_and_logit: list[Tensor]) -> Tensor:
        """Sum what 1x1 convolutions make of the features, all at stride 16."""
        return per_object(self.joined, concatenate([g16, g8, *g4_and_logit]))


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
