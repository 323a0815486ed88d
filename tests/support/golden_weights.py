"""Deterministic weights for parity checks: every tensor is a function of its name and shape alone."""

import json
import zlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from tests.support.paths import DATA


def fill(name: str, shape: Iterable[int]) -> Tensor:
    """Return the tensor called `name`, scaled so that activations keep their size."""
    shape = tuple(shape)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    normal = torch.from_numpy(np.asarray(noise, dtype=np.float32))
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_var":
        return 1 + 0.2 * normal.abs()
    if leaf == "running_mean":
        return 0.1 * normal
    if len(shape) <= 1:  # biases and BatchNorm's scales
        return 0.1 * normal + (1.0 if leaf == "weight" else 0.0)
    return normal * float(np.float32(1 / np.sqrt(np.prod(shape[1:]))))


def fill_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with the same names and shapes and the deterministic weights."""
    return {name: fill(name, tensor.shape) for name, tensor in state_dict.items()}


def released_state_dict(name: str) -> dict[str, Tensor]:
    """Return a state dict with the names and shapes of a released checkpoint (tests/data/NAME_state_dict.json)."""
    shapes = json.loads((DATA / f"{name}_state_dict.json").read_text())
    return {key: fill(key, shape) for key, shape in shapes.items()}
