"""States of segmenters as plain values: tensors, numbers and words, so that `torch.save` and a safe load take them."""

from typing import Any

import torch
from torch import Tensor

Snapshot = dict[str, Any]


def copied(value: Any, device: torch.device | str | None = None) -> Any:
    """Copy nested dictionaries, lists and tuples; tensors become new ones, on `device` if one is given."""
    if isinstance(value, Tensor):
        return value.detach().to(device or value.device, copy=True)
    if isinstance(value, dict):
        return {key: copied(part, device) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [copied(part, device) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def check_origin(state: Snapshot, origin: str) -> None:
    """Raise ValueError if a snapshot was taken of something else than a segmenter for `origin`, a network's name."""
    found = state.get("origin") if isinstance(state, dict) else type(state).__name__
    if found != origin:
        raise ValueError(f"restore: expected a snapshot of a segmenter for {origin}, received one for {found}")
