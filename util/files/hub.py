"""Checkpoints on the Hugging Face hub: hf://OWNER/NAME, hf://OWNER/NAME/FILE, hf://OWNER/NAME@REVISION."""

import importlib
import os
import re
from pathlib import Path
from typing import Any

# A path object joins the two slashes.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def local_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Return where a checkpoint lies on this machine: the path itself, or the hub's cache, into which it is downloaded.

    Without FILE, it is model.safetensors, or else the only file with weights.

    Raises:
        ValueError: for an address of another form, when huggingface_hub is not installed, and when the hub has no such
            file, or several.
    """
    address = os.fspath(path)
    if not address.startswith("hf:"):
        return Path(path)
    match = _ADDRESS.fullmatch(address)
    address = f"hf://{address.removeprefix('hf:').lstrip('/')}"
    if match is None:
        raise ValueError(f"checkpoint {address}: expected hf://OWNER/NAME, with /FILE or @REVISION where needed.")
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ValueError(
            f"checkpoint {address} needs huggingface_hub, which is not installed: pip install huggingface_hub, or "
            "download the file and name it"
        ) from None
    where: dict[str, Any] = {"repo_id": match["repository"], "revision": match["revision"]}
    try:
        file = match["file"] or _choose(address, list(hub.list_repo_files(**where)))
        return Path(hub.hf_hub_download(filename=file, **where))
    except ValueError:
        raise
    except Exception as error:  # the hub's own errors, those of whatever it downloads with, and no network
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"checkpoint {address} cannot be had from the hub ({detail})") from error


def _choose(address: str, files: list[str]) -> str:
    weights = [file for suffix in _SUFFIXES for file in files if file.endswith(suffix)]
    if "model.safetensors" in weights:
        return "model.safetensors"
    if len(weights) == 1:
        return weights[0]
    found = ", ".join(weights[:5]) or "none"
    raise ValueError(
        f"checkpoint {address} holds {len(weights)} files with weights ({found}): add /FILE to the address."
    )
