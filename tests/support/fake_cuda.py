"""What a program would do on a GPU, seen without one: launches, waits for the device, mixed devices.

Tensors are fake (`FakeTensorMode`): they have a device, a shape and a type, but no numbers. Mixing devices raises, as
it would on a GPU. `Watch` logs every operation: how many kernels it would launch, and which make the host wait.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda:0")
# Operations that only look at memory in another way, or allocate it.
_FREE = set(
    "alias as_strided chunk detach device diagonal empty empty_like empty_strided expand flatten is_pinned lift_fresh "
    "movedim narrow new_empty new_empty_strided permute reshape select slice split split_with_sizes squeeze t "
    "transpose unbind unfold unsqueeze view view_as_real _unsafe_view _reshape_alias resize_ set_".split()
)
# Operations whose result's shape, or value on the host, the device has to say first.
_ASKING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "repeat_interleave", "equal"}


# Kernels that must follow an event before the host may wait for it: another frame's, not a rest of its own.
_ANOTHER_FRAME = 50


class Watch(TorchDispatchMode):
    """Logs the operations on a device.

    Waiting for an event counts as a wait unless another frame has been queued since it was recorded: then the device
    has work, and the host is a frame ahead.

    Attributes:
        launches: kernels by operation; one for each operation that computes.
        waits: operations for which the host waits.
        late: events that were waited for with another frame queued.
    """

    current: "Watch | None" = None

    def __init__(self, device: torch.device = CUDA) -> None:
        super().__init__()
        self.device = device
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.late = 0

    def __enter__(self) -> "Watch":
        Watch.current = self
        super().__enter__()
        return self

    def __exit__(self, *args: Any) -> None:
        Watch.current = None
        super().__exit__(*args)

    @property
    def count(self) -> int:
        """All launches."""
        return self.launches.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.rpartition("::")[2]
        sources = [x for x in _tensors([args, kwargs])]
        if name in _ASKING and any(x.device == self.device for x in sources):
            self.waits[name] += 1
            self.launches[name] += 1
            return _answer(name, sources[0])
        if name.startswith(("index", "_index_put")) and any(x.dtype == torch.bool for x in _tensors([args[1]])):
            self.waits["nonzero"] += 1  # how many are true
        out = func(*args, **kwargs)
        results = list(_tensors([out]))
        devices = {x.device.type for x in [*sources, *results]}
        if not any(x.device == self.device for x in [*sources, *results]):
            return out
        if name in ("_to_copy", "copy_", "lift_fresh_copy") and len(devices) > 1:
            self._transfer(name, sources, results, kwargs, args)
        if name not in _FREE and not (name == "_to_copy" and len(devices) > 1):
            self.launches[name] += 1
        return out

    def _transfer(self, name: str, sources: list[Tensor], results: list[Tensor], kwargs: Any, args: Any) -> None:
        upload = results[0].device == self.device
        waiting = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2 and args[2])
        source = sources[-1]
        if not waiting or (upload and not getattr(source, "pretends_pinned", False)):
            self.waits["upload" if upload else "download"] += 1


class _Event:
    """Stands for `torch.cuda.Event`."""

    def record(self, _: object = None) -> None:
        self._watch = Watch.current
        self._at = self._watch.count if self._watch else 0

    def synchronize(self) -> None:
        if self._watch is None:
            return
        if self._watch.count - self._at >= _ANOTHER_FRAME:
            self._watch.late += 1
        else:
            self._watch.waits["event"] += 1


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        yield from _tensors(list(tree.values()))
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            yield from _tensors(part)


def _answer(name: str, x: Tensor) -> Any:
    """Make something up: the device has no numbers."""
    if name == "_local_scalar_dense":
        return x.dtype == torch.bool or 1
    if name == "equal":
        return True
    few = x.new_zeros((2, x.ndim) if name == "nonzero" else (2,), dtype=torch.int64 if name == "nonzero" else x.dtype)
    return (few, few, few) if name.startswith("_unique") or name == "unique_dim" else few


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Let `cuda:0` exist, without numbers and without a driver."""
    import torch.cuda.amp.common

    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "Event", _Event)
    monkeypatch.setattr(Tensor, "numpy", _numpy)
    monkeypatch.setattr(Tensor, "pin_memory", _pretend_pinned)
    monkeypatch.setattr(torch.nn.Module, "_apply", _apply)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


_real_numpy = Tensor.numpy


def _numpy(x: Tensor, **settings: Any) -> np.ndarray:
    """Make up the numbers of a fake tensor on the host."""
    if not isinstance(x, FakeTensor):
        return _real_numpy(x, **settings)
    assert x.device.type == "cpu", "a GPU's tensor has no array"
    return np.zeros(tuple(x.shape), str(x.dtype).removeprefix("torch."))


def _pretend_pinned(x: Tensor, *_: object) -> Tensor:
    x.pretends_pinned = True  # type: ignore[attr-defined]
    return x


def _apply(module: torch.nn.Module, fn: Any, recurse: bool = True) -> torch.nn.Module:
    """Do what `Module._apply` does; its own way of changing weights in place does not work with fake ones."""
    for child in module.children():
        child._apply(fn)
    for name, weight in module._parameters.items():
        if weight is not None:
            module._parameters[name] = torch.nn.Parameter(fn(weight.detach()), weight.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)
    return module
