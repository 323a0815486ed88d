"""Compiled parts of a training network, whose inputs come in few kinds, so that few graphs serve all steps.

For inference, see `model.fast.compiled`.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

BACKEND = "inductor"


def compile_part(part: nn.Module) -> None:
    """Compile a module's `forward`, in place; its hooks stay outside, where weights are derived for each call.

    A graph fits one combination of shapes, strides and what asks for gradients. Shapes are the run's affair, see
    `ClipNetwork.around` and `collate`; tensors of objects are given one layout here, whatever made them.
    """
    # Dynamo looks at the .grad of the weights that are held, which have none, and warns of itself.
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
    compiled = torch.compile(part.forward, backend=BACKEND, dynamic=False)

    def forward(*inputs: Any, **more: Any) -> Any:
        return compiled(*[_laid_out(x) for x in inputs], **{name: _laid_out(x) for name, x in more.items()})

    part.forward = forward  # type: ignore[method-assign]


def _laid_out(x: Any) -> Any:
    # Features of images alone have four dimensions, and the layout of the convolution that made them.
    return x.contiguous() if isinstance(x, Tensor) and x.ndim == 5 else x
