"""Weights as safetensors files, with a checksum and a configuration in their metadata."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from util.files.atomic import atomic_write

_CONFIG, _CHECKSUM = "corrvos", "sha256"
_LONGEST_HEADER = 100 * 2**20  # of the format


def is_safetensors(path: Path, head: bytes) -> bool:
    """Tell whether a file is of this format, by its name or by how it starts: the header's length and a brace."""
    length = int.from_bytes(head[:8], "little")
    return path.suffix == ".safetensors" or (head[8:9] == b"{" and 2 <= length <= _LONGEST_HEADER)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a file onto the CPU: its tensors by name, or, of our own, what `write_safetensors` was given.

    Raises:
        ValueError: in one line, when it is damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"checkpoint {path} is no safetensors file, or a damaged one ({detail}). Download or copy it again"
        ) from error
    if _CHECKSUM in metadata and metadata[_CHECKSUM] != _checksum(tensors):
        raise ValueError(
            f"checkpoint {path} is damaged: its tensors do not match their checksum. Download or copy it again"
        )
    if _CONFIG not in metadata:
        return dict(tensors)
    try:
        return {**json.loads(metadata[_CONFIG]), "network": tensors}
    except (ValueError, TypeError) as error:
        raise ValueError(f"checkpoint {path}: its metadata {_CONFIG!r} is no JSON object ({error})") from error


def write_safetensors(path: str | os.PathLike[str], weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights and, as JSON in the metadata, what there is to say about them; whole or not at all.

    Raises:
        ValueError: when `about` is not JSON.
        OSError: when the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    try:
        text = json.dumps(dict(about))
    except TypeError as error:
        raise ValueError(f"cannot write {path}: its configuration is no JSON ({error})") from error
    metadata = {"format": "pt", _CONFIG: text, _CHECKSUM: _checksum(tensors)}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
