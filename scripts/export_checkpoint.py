"""Writes a checkpoint's weights as a safetensors file, with the network and the run's configuration in its metadata.

python scripts/export_checkpoint.py runs/xmem-base-s03/stage3/last.pth model.safetensors
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.weights import FORMAT, VERSION, extract_weights, identify
from util.cli import run
from util.files.checkpoint import read_checkpoint
from util.files.safetensors_file import write_safetensors


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to write where."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """One of train.py's, a released one, or hf://OWNER/NAME."""
    output: Annotated[Path, tyro.conf.Positional]
    """The file to write, NAME.safetensors."""


def main(config: ExportConfig) -> None:
    """Write the averaged weights where there are any, else those of the last step."""
    if config.output.suffix != ".safetensors":
        raise ValueError(f"{config.output}: expected a name that ends in .safetensors")
    if config.output.exists():
        raise ValueError(f"{config.output} is there already: choose another name, or remove it")
    source = f"checkpoint {config.checkpoint}"
    content = read_checkpoint(config.checkpoint)
    weights = extract_weights(content, source)
    network = identify(weights, source)
    about: dict[str, Any] = {"format": FORMAT, "version": VERSION, "architecture": asdict(network)}
    if content.get("format") == FORMAT:
        about |= {key: content[key] for key in ("step", "stage", "config") if key in content}
    write_safetensors(config.output, weights, about)
    print(f"{config.output}: {network.name} ({network.size}), {sum(x.numel() for x in weights.values()):,} numbers")


if __name__ == "__main__":
    run(main, ExportConfig, "export_checkpoint.py", __doc__ or "")
