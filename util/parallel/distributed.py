"""The processes that torchrun starts, and what they tell each other. Everything works in one process, too."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from util.parallel.environment import is_main, local_rank, rank, world_size
from util.parallel.launcher import watch_launcher

__all__ = ["is_main", "local_rank", "rank", "world_size"]  # and all that follows

# Ranks wait for one another at the end of an evaluation, whose shares of work can differ by hours.
TIMEOUT = timedelta(hours=6)
T = TypeVar("T")
# In the messages of gloo and NCCL when a peer is gone.
_LOST = r"(?i)gloo|nccl|connection (closed|reset)|broken pipe"


def is_joined() -> bool:
    """Return whether this process belongs to a process group: tensors can be summed over its ranks."""
    return dist.is_initialized()


def sum_over_ranks(x: Tensor) -> Tensor:
    """Return the sum of every rank's `x` on every rank, without gradient; every rank must call it equally often."""
    total = x.contiguous().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def init(device: torch.device, timeout: timedelta = TIMEOUT) -> None:
    """Join torchrun's process group: gloo on the CPU, nccl for CUDA tensors. Does nothing in a single process."""
    if world_size() == 1 or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Python objects and barriers always travel over gloo, so that waiting never occupies a GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=timeout)


def shutdown() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def lost_ranks() -> Iterator[None]:
    """Turn the errors that come of another process's end into a ConnectionError that says so."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if dist.is_initialized() and (isinstance(error, dist.DistError) or re.search(_LOST, text)):
            raise ConnectionError(
                f"another of the {world_size()} processes ended; its own error stands above or in its log "
                f"({text.splitlines()[0][:200]})."
            ) from error
        raise


@contextmanager
def process_group(device: torch.device, timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Join the process group for the length of a `with` block, and end with the launcher if that is gone."""
    with watch_launcher():
        init(device, timeout)
        try:
            yield
        finally:
            shutdown()


def gather_objects(item: T) -> list[T]:
    """Return every rank's `item` (picklable, small), in rank order, on every rank."""
    if not dist.is_initialized():
        return [item]
    gathered: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, item)
    return gathered  # type: ignore[return-value]


def broadcast_object(item: T) -> T:
    """Return rank 0's `item` on every rank."""
    if not dist.is_initialized():
        return item
    box = [item]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Fill every rank's tensors with rank 0's."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def largest(values: Sequence[float]) -> list[float]:
    """Return the largest of every rank's values, place by place, on every rank."""
    if not dist.is_initialized():
        return list(values)
    together = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(together, op=dist.ReduceOp.MAX)
    return together.tolist()


def raise_together(fault: Exception | None) -> None:
    """Raise this process's fault; where another has one, a ConnectionError. Every rank must come here."""
    (failed,) = largest([fault is not None])
    if fault is not None:
        raise fault
    if failed:
        raise ConnectionError(
            f"another of the {world_size()} processes cannot go on; its own error stands above or in its log."
        )


def barrier() -> None:
    """Wait until every rank is here."""
    gather_objects(None)


def share(lengths: Sequence[int], ranks: int | None = None) -> list[list[int]]:
    """Deal jobs of known `lengths` out to `ranks` (default: the world size) so that all finish about together.

    Returns the job numbers of each rank, ascending. The longest job goes first, each to the rank with least work;
    the outcome depends on the arguments only, so every rank computes the same one.
    """
    shares: list[list[int]] = [[] for _ in range(world_size() if ranks is None else ranks)]
    load = [0] * len(shares)
    for job in sorted(range(len(lengths)), key=lambda job: (-lengths[job], job)):
        least = load.index(min(load))
        shares[least].append(job)
        load[least] += lengths[job]
    return [sorted(jobs) for jobs in shares]
