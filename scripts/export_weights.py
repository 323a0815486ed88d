"""Strips a checkpoint of train.py to its weights: the averaged ones if there are any, in half precision if wanted.

python scripts/export_weights.py runs/xmem-small-s2/last.pth model/box/xmem-small.pth --half
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.weights import extract_weights, identify
from util.cli import run
from util.files.checkpoint import read_checkpoint, save_checkpoint


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to strip, and where to put it."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint of train.py, or any other that load_checkpoint reads."""
    output: Annotated[Path, tyro.conf.Positional]
    """The file to write; load_checkpoint reads it."""
    half: bool = False
    """Weights of convolutions and linear layers in half precision; networks compute as before, in fp32."""


def main(config: ExportConfig) -> None:
    """Write the weights and print what they are."""
    source = f"checkpoint {config.checkpoint}"
    weights = extract_weights(read_checkpoint(config.checkpoint), source)
    found = identify(weights, source)
    if config.half:
        weights = {name: halve(tensor, f"{source}: {name}") for name, tensor in weights.items()}
    config.output.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(config.output, {"network": weights})
    count = sum(tensor.numel() for tensor in weights.values() if tensor.is_floating_point())
    print(f"{config.output}: {found.name} ({found.size}), {count:,} numbers, {config.output.stat().st_size:,} bytes")


def halve(tensor: Tensor, name: str) -> Tensor:
    """Return a weight in half precision; biases and BatchNorm's vectors, which are small, stay as they are.

    Raises ValueError for a weight that half precision cannot hold.
    """
    if tensor.ndim < 2 or not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    if not torch.isfinite(half).all():
        raise ValueError(f"{name} holds values beyond 65504, the largest of half precision: leave out --half.")
    return half


if __name__ == "__main__":
    run(main, ExportConfig, "export_weights.py", __doc__ or "")
