"""Encoders and decoder compiled by torch.compile, in few graphs: their inputs keep layouts and kinds of shape.

A graph is for one object, another one for any larger number of them. What would ask for more stays outside: whether
the sensory memory is updated, and strides that differ from frame to frame. On CUDA, a part's kernels are started all at
once: torch.compile records them as a CUDA graph, for each size of frames and number of objects, which it keeps.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from model.layers.decoder import FusingDecoder
from model.layers.encoders import ValueEncoder

BACKEND = "inductor"


class CompiledPart(nn.Module):
    """A part of a network that is compiled when it is first called; for inference."""

    def __init__(self, part: nn.Module) -> None:
        """Wrap a part; it must have its device, weights, layout and mode."""
        super().__init__()
        self.part = part
        self._recorded = records(next(part.parameters()).device)
        self._compiled = torch.compile(part, backend=BACKEND, mode="reduce-overhead" if self._recorded else None)

    def forward(self, *inputs: Any) -> Any:
        """Call the part: tensors of an image [B,C,H,W], of its objects [B,O,C,H,W], and others."""
        steadied = [steady(x) for x in inputs]
        if not self._recorded:
            return self._compiled(*steadied)
        torch.compiler.cudagraph_mark_step_begin()  # nobody has a recorded result any more
        return tree_map_only(Tensor, torch.clone, self._compiled(*steadied))


class CompiledDecoder(CompiledPart):
    """A compiled `FusingDecoder`; the new sensory memory is computed always, and dropped where it is not wanted."""

    def forward(
        self, f16: Tensor, f8: Tensor, f4: Tensor, readout_BOVYX: Tensor, sensory_BOSYX: Tensor | None, update: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Decode as `FusingDecoder.forward`."""
        carries = sensory_BOSYX is not None
        logit, sensory = super().forward(f16, f8, f4, readout_BOVYX, sensory_BOSYX, carries)
        return logit, sensory if update else sensory_BOSYX


class CompiledValueEncoder(CompiledPart):
    """A compiled `ValueEncoder`."""

    part: ValueEncoder

    @property
    def hidden_reinforce(self) -> nn.Module | None:
        """The deep update, which is not compiled."""
        return self.part.hidden_reinforce

    def stack_masks(self, mask_BOHW: Tensor) -> Tensor:
        """Build the mask channels as `ValueEncoder.stack_masks`."""
        return self.part.stack_masks(mask_BOHW)


def compile_parts(network: nn.Module, names: Iterable[str]) -> None:
    """Compile parts of a network for inference, by their names in it, in place."""
    kinds: dict[type[nn.Module], type[CompiledPart]] = {
        FusingDecoder: CompiledDecoder,
        ValueEncoder: CompiledValueEncoder,
    }
    for name in names:
        part = network.get_submodule(name)
        kind = next((kinds[base] for base in type(part).__mro__ if base in kinds), CompiledPart)
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, kind(part))


def records(device: torch.device) -> bool:
    """Return whether CUDA graphs are recorded: each run of one overwrites what the last one gave, which is copied."""
    return device.type == "cuda"


def steady(x: Any) -> Any:
    """Return a tensor in the memory layout that its number of dimensions has; the number of objects may vary."""
    if not isinstance(x, Tensor):
        return x
    if x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    x = x.contiguous()
    if x.ndim == 5 and x.shape[1] > 1:
        torch._dynamo.maybe_mark_dynamic(x, 1)
    return x
