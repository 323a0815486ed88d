"""Fast twins: networks that share a network's weights and compute the same, up to rounding, in less time."""

import copy
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import nn

from model.fast.derived import hold_within
from model.fast.fold import FoldedConv, fold_for_good, pairs
from model.fast.half import HalfUpsampleBlock, cast_for_good
from model.fast.held import KINDS, held
from model.fast.join import JoinedProjection, JoinedUpdater
from model.fast.layout import keep_layouts, starts_cost
from model.fast.recast import recast, replace_where
from model.fast.serial import SerialUpsampleBlock
from model.fast.split import PartedConv, SplitBlock, SplitConv
from model.fast.winograd import transform_for_good
from model.layers.blocks import JointConv, JointResidualBlock, UpsampleBlock
from model.layers.decoder import UpsamplingDecoder
from model.layers.densenet import DenseEncoder
from model.layers.encoders import KeyEncoder, KeyProjection, ValueEncoder
from model.layers.sensory import SensoryUpdater
from model.twoframe.decoder import MaskEmbedder, TwoFrameDecoder
from util.device import prefers_channels_last

Module = TypeVar("Module", bound=nn.Module)


def for_inference(
    model: Module, device: torch.device, dtype: torch.dtype = torch.float32, *, compiled: bool = False
) -> Module:
    """Return a twin of a network for inference on `device`, where the network itself moves.

    BatchNorm is part of the convolutions in front of it, what depends on the image alone is computed once for all
    objects, convolutions that can be one are, and tensors are channels-last. On a CPU, in fp32, large convolutions
    behind the encoders are Winograd's, unless its parts will be `compiled`. The twin is in eval mode and shares all
    weights with the network, which stays as it is, save those that are folded, joined, cut or transformed; and in half
    precision, `dtype`, save those that autocast would otherwise cast for every use.
    """
    twin = _twin(model.to(device)).eval()
    fold_for_good(twin)
    _split(twin, PartedConv)
    _join(twin)
    if dtype != torch.float32:
        cast_for_good(twin, dtype)
        _recast(twin, UpsampleBlock, HalfUpsampleBlock)
    elif device.type == "cpu" and not compiled:
        # Image encoders have narrow convolutions or small maps, and value encoders see but every fifth frame.
        transform_for_good(twin, (KeyEncoder, DenseEncoder, ValueEncoder))
        _recast(twin, UpsampleBlock, SerialUpsampleBlock)
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
    _split(twin, partial(recast, kind=SplitConv))
    keep_layouts(twin)
    if starts_cost(device):
        _hold_plain(twin)
    hold_within(twin, find_repeated(twin) if starts_cost(device) else (), ("encode",))
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


def _split(module: nn.Module, conv: Callable[[JointConv], SplitConv | PartedConv]) -> None:
    _replace(module, JointResidualBlock, partial(SplitBlock.of, conv=conv))
    _replace(module, JointConv, conv)


def _join(module: nn.Module) -> None:
    def of(projection: KeyProjection) -> KeyProjection:
        return projection if projection.d_proj is None else JoinedProjection.of(projection)

    _replace(module, KeyProjection, of)
    _replace(module, SensoryUpdater, JoinedUpdater.of)


def _recast(module: nn.Module, kind: type[nn.Module], to: type[nn.Module]) -> None:
    _replace(module, kind, partial(recast, kind=to))


def _replace(module: nn.Module, kind: type[nn.Module], by: Callable[..., nn.Module]) -> None:
    replace_where(module, lambda child: type(child) is kind, by)
