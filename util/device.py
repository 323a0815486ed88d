"""The computing device: choosing it, its precision, and honest measurements on it."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import get_args

import torch
from torch import Tensor

from util.allocator import keep_freed_memory
from util.config.choices import Precision

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

PRECISIONS = get_args(Precision)


def select_device(name: str = "auto") -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that exists.

    `auto` prefers CUDA, then MPS, then the CPU. `cuda` without an index is the GPU of this process's local rank.
    Raises ValueError for an unknown name and for a device that this machine does not have.
    """
    wanted = name.strip().lower()
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda, cuda:INDEX or mps")
    if kind == "cuda":
        return _cuda_device(name, index)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device {name!r} is not available on this machine: use --device cpu or auto")
    return torch.device(kind)


def _cuda_device(name: str, index: str) -> torch.device:
    if not torch.cuda.is_available():
        raise ValueError(
            f"device {name!r}: PyTorch {torch.__version__} sees no CUDA GPU here: use --device cpu or auto, "
            "or install a CUDA build of PyTorch"
        )
    count = torch.cuda.device_count()
    number = int(index) if index else int(os.environ.get("LOCAL_RANK", "0"))
    if number >= count:
        remedy = f"use cuda:0 to cuda:{count - 1}" if index else f"start torchrun with --nproc_per_node={count} or less"
        raise ValueError(f"device {name!r}: GPU {number} was asked for, this machine has {count}: {remedy}")
    return torch.device("cuda", number)


def set_up(device: torch.device, *, fixed_sizes: bool) -> None:
    """Make a program's choices for a device, once, before it computes.

    A GPU becomes the current one, which what is not told a device uses. fp32 is fp32: TF32 keeps ten bits, by which
    similarities of thousands are off by whole units, and half precision is there for speed. cuDNN tries its algorithms
    for each new shape where `fixed_sizes` says that few will come: a search takes seconds, which every number of
    objects and every size would cost again. On a CPU, tensors of a few sizes take each other's memory.
    """
    if device.type == "cpu" and fixed_sizes:
        keep_freed_memory()
    if device.type != "cuda":
        return
    torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = fixed_sizes


@contextmanager
def many_sizes() -> Iterator[None]:
    """Have cuDNN try no algorithms in a `with` block, in which many sizes come; see `set_up`."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def prefers_channels_last(device: torch.device) -> bool:
    """Return whether tensors are laid out channels-last on a device: MPS's own kernels work channels-first."""
    return device.type != "mps"


def resolve_precision(device: torch.device, precision: Precision = "auto") -> Precision:
    """Return `fp32`, `fp16` or `bf16`; `auto` is fp16 on CUDA and fp32 elsewhere.

    Raises ValueError for another name and for bf16 on a GPU without it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(f"precision 'bf16' is not supported by {torch.cuda.get_device_name(device)}: use fp16 or fp32")
    return precision


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[object]:
    """Return the context manager that computes in `precision` on `device`; fp32 switches an outer autocast off."""
    resolved = resolve_precision(device, precision)
    if resolved == "fp32":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=torch.float16 if resolved == "fp16" else torch.bfloat16)


def half_type(precision: str) -> torch.dtype:
    """Return the type that a resolved precision computes in."""
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def upload(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on `device`, without waiting for a GPU: it reads page-locked memory when its turn has come."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return (x if x.is_pinned() else x.pin_memory()).to(device, non_blocking=True)


class Download:
    """A tensor on its way to the host: a GPU's goes to page-locked memory when its turn has come."""

    def __init__(self, x: Tensor) -> None:
        """Queue the copy."""
        self._host = x.to("cpu", non_blocking=x.device.type == "cuda")
        self._done = torch.cuda.Event() if x.device.type == "cuda" else None
        if self._done is not None:
            self._done.record(torch.cuda.current_stream(x.device))

    def get(self) -> Tensor:
        """Wait until the copy is done, and return it."""
        if self._done is not None:
            self._done.synchronize()
        return self._host


def take(x: Tensor, dim: int, places: Sequence[int]) -> Tensor:
    """Return the entries of `x` at some places of a dimension, in this order, without waiting for a GPU."""
    if list(places) == list(range(x.shape[dim])):
        return x
    return x.index_select(dim, upload(torch.tensor(list(places), dtype=torch.int64), x.device))


def synchronize(device: torch.device) -> None:
    """Wait until all work queued on `device` is done, so that a clock read afterwards is honest."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory_bytes(device: torch.device) -> float:
    """Return the peak bytes so far: allocated tensors on CUDA (since the last reset), resident process otherwise.

    NaN on systems that do not tell (Windows).
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if resource is None:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB, macOS in bytes
