"""Memory layouts: which order of channels and pixels the weights and features of a training network have."""

import torch
from torch import Tensor, nn

from model.layers.blocks import FusionBlock, JointResidualBlock, UpsampleBlock, merge_objects, split_objects
from model.layers.encoders import KeyEncoder, KeyProjection
from model.network import VOSNetwork
from util.device import prefers_channels_last


def starts_cost(device: torch.device) -> bool:
    """Return whether small operations cost more to start than to do, so that they are worth joining."""
    return device.type == "cuda"


def lay_out(network: VOSNetwork, device: torch.device) -> None:
    """Move a network to a device, its weights in the memory layouts that train fastest there.

    Pictures come channels-last, which suits convolutions on CPUs and, in half precision, on GPUs. But a CPU's weight
    gradients come channels-first: to turn them round is slow where the weights are large and the features small, as
    they are at stride 16.
    """
    network.to(device)
    if not prefers_channels_last(device):
        return
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        for name, module in network.named_children():
            if name == "key_comp":
                module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for module in network.modules():
            if isinstance(module, (KeyProjection, FusionBlock, JointResidualBlock)):
                module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def keep_layouts(network: nn.Module) -> None:
    """Let features follow the layouts of `lay_out`: a convolution of two layouts would copy for each use.

    They change behind the image encoder, where they shrink to stride 16, and before the decoder widens them again.
    """
    heads = [module for module in network.modules() if isinstance(module, KeyProjection)]

    def turn_f16(_: nn.Module, __: object, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return in_layout_of(heads[0].key_proj.weight, features[0]), *features[1:]

    def turn_input(block: UpsampleBlock, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        skip, x_BOCHW = inputs
        x = in_layout_of(block.out_conv.conv1.weight, merge_objects(x_BOCHW))
        return skip, split_objects(x, x_BOCHW.shape[0])

    for module in network.modules():
        if isinstance(module, KeyEncoder):
            module.register_forward_hook(turn_f16)
        if isinstance(module, UpsampleBlock):
            module.register_forward_pre_hook(turn_input)


def in_layout_of(weight: Tensor, x: Tensor) -> Tensor:
    """Return x [N,C,H,W] in the memory layout of a 3x3 weight."""
    return x.contiguous(memory_format=torch.contiguous_format if weight.is_contiguous() else torch.channels_last)
