"""The processes that torchrun starts, and what they tell each other. Everything works in one process, too."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from util.parallel.environment import is_main, local_rank, rank, world_size
from util.parallel.launcher import watch_launcher

__all__ = ["is_main", "local_rank", "rank", "world_size"]  # and all that follows

# Processes wait for one another at the end of an evaluation, whose shares of work can differ by hours.
TIMEOUT = timedelta(hours=6)
# GPUs wait for one another in the middle of a step only, while one process writes a checkpoint at most.
GPU_TIMEOUT = timedelta(minutes=10)
T = TypeVar("T")
# In the messages of gloo and NCCL when a peer is gone.
_LOST = r"(?i)gloo|nccl|connection (closed|reset)|broken pipe"

# What numbers on the host travel over, if that is not the default group.
_hosts: dist.ProcessGroup | None = None


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
    """Join torchrun's process group: gloo on the CPU, and NCCL for CUDA tensors. Does nothing in a single process.

    Args:
        device: this process's own.
        timeout: how long processes wait for one another on the CPU; GPUs wait for `GPU_TIMEOUT`.
    """
    if world_size() == 1 or dist.is_initialized():
        return
    if device.type != "cuda":
        dist.init_process_group("gloo", timeout=timeout)
        return
    global _hosts  # noqa: PLW0603 -- as PyTorch's own default group
    dist.init_process_group("nccl", timeout=GPU_TIMEOUT, device_id=device)
    # Python objects and numbers on the host travel over gloo, so that waiting for them never occupies a GPU.
    _hosts = dist.new_group(backend="gloo", timeout=timeout)  # type: ignore[assignment]  # this rank is in it


def shutdown() -> None:
    """Leave the process group, if there is one."""
    global _hosts  # noqa: PLW0603
    if dist.is_initialized():
        dist.destroy_process_group()
    _hosts = None


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
    """Join the process group for the length of a `with` block, and end with the launcher if that is gone.

    After an error NCCL's group is left as it is: to leave it in order would wait for the others, who hear of the error
    when this process has ended.
    """
    with watch_launcher():
        init(device, timeout)
        try:
            yield
        except BaseException:
            if device.type != "cuda":
                shutdown()
            raise
        shutdown()


def gather_objects(item: T) -> list[T]:
    """Return every rank's `item` (picklable, small), in rank order, on every rank."""
    if not dist.is_initialized():
        return [item]
    gathered: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, item, group=_hosts)
    return gathered  # type: ignore[return-value]


def broadcast_object(item: T) -> T:
    """Return rank 0's `item` on every rank."""
    if not dist.is_initialized():
        return item
    box = [item]
    dist.broadcast_object_list(box, src=0, group=_hosts)
    return box[0]


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Fill every rank's tensors with rank 0's."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor, src=0, group=_hosts if tensor.device.type == "cpu" else None)


def largest(values: Sequence[float]) -> list[float]:
    """Return the largest of every rank's values, place by place, on every rank."""
    return ask_largest(lambda: values)()


def ask_largest(values: Callable[[], Sequence[float]]) -> Callable[[], list[float]]:
    """Ask for the largest of every rank's values, place by place, and return a call that waits for the answer.

    In the meantime the program goes on. Several ranks compare what `values` says when they ask; a single process has
    what it says at the time of the answer. Every rank must ask and answer equally often, and in the same order.
    """
    if not dist.is_initialized():
        return lambda: list(values())
    together = torch.tensor(values(), dtype=torch.float64)
    work = dist.all_reduce(together, op=dist.ReduceOp.MAX, group=_hosts, async_op=True)
    assert work is not None

    def answer() -> list[float]:
        work.wait()
        return together.tolist()

    return answer


def raise_fault(fault: Exception | None) -> NoReturn:
    """Raise this process's fault, or, where it is another's, a ConnectionError."""
    if fault is not None:
        raise fault
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
