"""What is drawn for a batch of clips before it is unrolled: memory frames and deep updates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from util.device import upload
from util.seeds import clip_rng


@dataclass(frozen=True)
class MemoryPlan:
    """What is drawn for a batch of clips before it is unrolled.

    Attributes:
        memory: for each frame after the first, the memory frames of each clip: [T-1][B,M] integers, ascending.
        deep: [T,B] bool, whether frame t refreshes a clip's sensory memory from its value.
    """

    memory: tuple[np.ndarray, ...]
    deep: np.ndarray

    def encoded(self, t: int) -> np.ndarray:
        """Return which clips [B] need frame t's value: those that read it later or refresh their sensory memory."""
        needed = self.deep[t].copy()
        for frames in self.memory[t:]:
            needed |= (frames == t).any(axis=1)
        return needed


def draw_plan(seeds: Sequence[int], frames: int, memory_frames: int, deep_update: float) -> MemoryPlan:
    """Draw memory frames and deep updates of every clip from its own seed, so that its batch does not matter.

    Frame t reads all t earlier frames, or, when those are more than `memory_frames`, the first and others drawn from
    the rest (XMem). The first frame is always a deep update; the last frame is not remembered.

    Args:
        seeds: one for each clip.
        frames: length T of the clips.
        memory_frames: 0 reads all earlier frames (STCN).
        deep_update: probability of a deep update on each other frame.
    """
    memory = [np.zeros((len(seeds), min(t, memory_frames or t)), np.int64) for t in range(1, frames)]
    deep = np.zeros((frames, len(seeds)), bool)
    for clip, seed in enumerate(seeds):
        rng = clip_rng(seed, "mem")
        for t in range(1, frames):
            others = rng.permutation(np.arange(1, t))[: memory[t - 1].shape[1] - 1]
            memory[t - 1][clip, 1:] = np.sort(others)
            deep[t, clip] = t < frames - 1 and rng.random() < deep_update
    deep[0] = True
    return MemoryPlan(tuple(memory), deep)


@dataclass(frozen=True)
class FramePlan:
    """What happens in one frame: what the program asks stays with it, indices lie on the device.

    Attributes:
        reads: memory frames [B,M] of each clip; none for the first frame.
        flat_reads: the same as rows `clip * T + frame` [B*M], on the device.
        needed: [B] bool, the clips whose value is encoded.
        rows: their numbers on the device, or None for all.
        real: of their objects, flattened, those that don't only pad the batch, on the device; None for all.
        deep: whether any clip refreshes its sensory memory.
        deep_N: which of the needed ones do, bool, on the device.
    """

    reads: np.ndarray
    flat_reads: Tensor
    needed: np.ndarray
    rows: Tensor | None
    real: Tensor | None
    deep: bool
    deep_N: Tensor


def place_plan(plan: MemoryPlan, valid_BO: np.ndarray, encode_all: bool, device: torch.device) -> list[FramePlan]:
    """Put a plan on a device, with one copy for all of its indices: a GPU would have to be waited for at each."""
    frames, batch = plan.deep.shape
    parts: list[np.ndarray] = []
    needed_of = [(plan.encoded(t) | encode_all) & (t < frames - 1) for t in range(frames)]
    reads_of = [np.zeros((batch, 0), np.int64), *plan.memory]
    for t in range(frames):
        needed = needed_of[t]
        flat_reads = (np.arange(batch)[:, None] * frames + reads_of[t]).ravel()
        parts += [flat_reads, np.flatnonzero(needed), np.flatnonzero(valid_BO[needed]), plan.deep[t][needed]]
    joined = torch.tensor(np.concatenate(parts).tolist(), dtype=torch.int64)
    on_device = iter(upload(joined, device).split([len(part) for part in parts]))
    steps = []
    for t in range(frames):
        flat_reads, rows, real, deep_N = (next(on_device) for _ in range(4))
        needed = needed_of[t]
        steps.append(
            FramePlan(
                reads=reads_of[t],
                flat_reads=flat_reads,
                needed=needed,
                rows=None if needed.all() else rows,
                real=None if valid_BO[needed].all() else real,
                deep=bool(plan.deep[t].any()),
                deep_N=deep_N.bool(),
            )
        )
    return steps
