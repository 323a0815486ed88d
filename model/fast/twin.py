"""Fast twins: networks that share a network's weights and compute the same, up to rounding, in less time."""

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from model.fast.derived import hold_within
from model.fast.fold import FoldedConv, fold_for_good, pairs
from model.fast.half import HalfUpsampleBlock, cast_for_good
from model.fast.held import KINDS, held
from model.fast.join import JoinedProjection, JoinedUpdater
from model.fast.layout import keep_layouts, starts_cost
from model.fast.split import SplitBlock, SplitConv
from model.layers.blocks import JointConv, JointResidualBlock, UpsampleBlock
from model.layers.decoder import UpsamplingDecoder
from model.layers.encoders import KeyProjection, ValueEncoder
from model.layers.sensory import SensoryUpdater
from model.twoframe.decoder import MaskEmbedder, TwoFrameDecoder
from util.device import prefers_channels_last

Module = TypeVar("Module", bound=nn.Module)


def for_inference(model: Module, device: torch.device, dtype: torch.dtype = torch.float32) -> Module:
    """Return a twin of a network for inference on `device`, where the network itself moves.

    BatchNorm is part of the convolutions in front of it, what depends on the image alone is computed once for all
    objects, convolutions that can be one are, and tensors are channels-last. The twin is in eval mode and shares all
    weights with the network, which stays as it is, save those that BatchNorm is folded into and those that are joined;
    and in half precision, `dtype`, save those that autocast would otherwise cast for every use.
    """
    twin = _twin(model.to(device)).eval()
    fold_for_good(twin)
    _split(twin)
    _join(twin)
    if dtype != torch.float32:
        cast_for_good(twin, dtype)
        _replace(twin, {UpsampleBlock: HalfUpsampleBlock.of})
    return twin.to(memory_format=torch.channels_last) if prefers_channels_last(device) else twin  # type: ignore[call-overload,no-any-return]


def for_training(unrolled: Module) -> Module:
    """Return a twin of a network that unrolls clips; both train the same weights.

    BatchNorm that keeps its statistics is folded, and joint convolutions are split, once for each call of the twin, in
    the differentiable weights of that call. Call it when weights, layout (`lay_out`) and modes are as they shall be:
    a later change of BatchNorm's mode does not reach the twin.
    """
    twin, device = _twin(unrolled), next(unrolled.parameters()).device
    for parent, conv, norm in pairs(twin):
        batch_norm = getattr(parent, norm)
        if not batch_norm.training:
            setattr(parent, conv, FoldedConv(getattr(parent, conv), batch_norm))
            setattr(parent, norm, nn.Identity())
    _split(twin)
    keep_layouts(twin)
    if starts_cost(device):
        _hold_plain(twin)
    hold_within(twin, find_repeated(twin) if starts_cost(device) else ())
    return twin


def find_repeated(twin: nn.Module) -> list[nn.Module]:
    """Return the modules that a network calls once for each frame."""
    kinds = (ValueEncoder, UpsamplingDecoder, TwoFrameDecoder, MaskEmbedder)
    return [module for module in twin.modules() if isinstance(module, kinds)]


def _hold_plain(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) in KINDS:
            setattr(module, name, held(child))
        elif not isinstance(child, FoldedConv):
            _hold_plain(child)


def _twin(module: Module) -> Module:
    """Copy the structure; parameters and buffers are the same objects."""
    shared = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return copy.deepcopy(module, memo=shared)


def _split(module: nn.Module) -> None:
    _replace(module, {JointConv: SplitConv.of, JointResidualBlock: SplitBlock.of})


def _join(module: nn.Module) -> None:
    def of(projection: KeyProjection) -> KeyProjection:
        return projection if projection.d_proj is None else JoinedProjection.of(projection)

    _replace(module, {KeyProjection: of, SensoryUpdater: JoinedUpdater.of})


def _replace(module: nn.Module, replacements: dict[type[nn.Module], Callable[..., nn.Module]]) -> None:
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) in replacements:
                setattr(parent, name, replacements[type(child)](child))
