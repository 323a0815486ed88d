"""Strips a checkpoint to its weights, the averaged ones if there are any; in half precision if wanted.

A safetensors file has the network and the run's configuration in its metadata, a .pth file the weights alone.

python scripts/export_checkpoint.py runs/xmem-base-s03/stage3/last.pth model.safetensors

python scripts/export_checkpoint.py runs/xmem-small-s2/last.pth xmem-small.pth --half
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model import box
from model.weights import FORMAT, VERSION, extract_weights, identify
from util.cli import run
from util.files.checkpoint import read_checkpoint, save_checkpoint
from util.files.safetensors_file import write_safetensors


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to write where."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """One of train.py's, a released one, or hf://OWNER/NAME."""
    output: Annotated[Path, tyro.conf.Positional]
    """The file to write, NAME.safetensors or NAME.pth; load_checkpoint reads both."""
    half: bool = False
    """Weights of convolutions and linear layers in half precision; networks compute as before, in fp32."""


def main(config: ExportConfig) -> None:
    """Write the averaged weights where there are any, else those of the last step."""
    if config.output.suffix not in (".safetensors", ".pth"):
        raise ValueError(f"{config.output}: expected a name that ends in .safetensors or .pth")
    if config.output.exists():
        raise ValueError(f"{config.output} is there already: choose another name, or remove it")
    source = f"checkpoint {config.checkpoint}"
    content = read_checkpoint(box.checkpoint_path(config.checkpoint))
    weights = extract_weights(content, source)
    network = identify(weights, source)
    if config.half:
        weights = {name: halve(tensor, f"{source}: {name}") for name, tensor in weights.items()}
    config.output.parent.mkdir(parents=True, exist_ok=True)
    if config.output.suffix == ".pth":
        save_checkpoint(config.output, {"network": weights})
    else:
        about: dict[str, Any] = {"format": FORMAT, "version": VERSION, "architecture": asdict(network)}
        if content.get("format") == FORMAT:
            about |= {key: content[key] for key in ("step", "stage", "config") if key in content}
        write_safetensors(config.output, weights, about)
    count, size = sum(tensor.numel() for tensor in weights.values()), config.output.stat().st_size
    print(f"{config.output}: {network.name} ({network.size}), {count:,} numbers, {size:,} bytes")


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
    run(main, ExportConfig, "export_checkpoint.py", __doc__ or "")
