"""The memory of one group of objects: those that entered the video on the same frame.

Everything that belongs to one memory element (key, shrinkage, selection, value, usage) is a row of one table, so that a
value can never part from its key. The table is allocated ahead:

    [ ...free | long-term <- grows | first frame | working frames -> grow | free... ]
              ^ start              ^ base                                 ^ end

Matching reads the rows from `start` to `end`; nothing is concatenated per frame. The order of rows carries no meaning
for attention, so a full STCN memory overwrites its oldest frame in place.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from inference.memory.long_term import consolidate, least_used_removed
from inference.snapshot import Snapshot
from model.affinity import Match, lift_memory, match_lifted, sparse_readout
from util.device import take

_NUMBERS = ("_start", "_base", "_end", "_positions", "_frames", "_temporary")  # all that a memory is beside its rows
_NEWBORN_LIFE = 1e-7  # frames lived by a row that has never been matched; keeps usage = received / lived finite


@dataclass(frozen=True, kw_only=True)
class MemoryLimits:
    """How much a group may remember.

    `Segmenter.reset` fills it from `InferenceConfig`, whose fields are flags; `Segmenter.step` decides which frames
    enter.

    Attributes:
        long_term: whether old working frames are consolidated into long-term memory (XMem).
        max_working_frames: working frames at which consolidation happens.
        min_working_frames: frames that stay: the first and the newest, this many in all.
        num_prototypes: rows that a consolidation makes.
        max_long_term: rows of long-term memory.
        max_frames: without long-term memory: the first frame and the newest, this many in all; None keeps all.
    """

    long_term: bool
    max_working_frames: int
    min_working_frames: int
    num_prototypes: int
    max_long_term: int
    max_frames: int | None


class FrameEntry(NamedTuple):
    """What a frame adds to the memory of a group.

    Attributes:
        key_PK: matching keys.
        shrinkage_P1: shrinkage, or None.
        selection_PK: selection, or None.
        value_POV: values of the group's objects.
    """

    key_PK: Tensor
    shrinkage_P1: Tensor | None
    selection_PK: Tensor | None
    value_POV: Tensor


class GroupMemory:
    """Working and long-term memory of one group of objects."""

    def __init__(self, limits: MemoryLimits, top_k: int | None, bijective_k: int = 0) -> None:
        """Make an empty memory; tables are allocated by the first frame. `top_k`, `bijective_k`: see `match_top_k`."""
        self.limits = limits
        self.top_k = top_k
        self.bijective_k = bijective_k
        self._rows: dict[str, Tensor] = {}
        self._start = self._base = self._end = 0
        self._positions = 0
        self._frames = 0  # frames ever added
        self._temporary = 0  # rows at the end that the next frame replaces

    @property
    def size(self) -> int:
        """Elements that a query is matched against."""
        return self._end - self._start

    @property
    def long_term_size(self) -> int:
        """Elements of long-term memory."""
        return self._base - self._start

    @property
    def working_frames(self) -> int:
        """Frames in working memory, a temporary one included."""
        return (self._end - self._base) // self._positions if self._positions else 0

    @property
    def num_objects(self) -> int:
        """Objects of the group."""
        return int(self._rows["value"].shape[1]) if self._rows else 0

    def rows(self, name: str) -> Tensor:
        """The live rows of a column.

        `lifted` keys, which matching reads, and `value`; for long-term memory `key`, `shrinkage`, `selection`,
        `received` and `lived`.
        """
        return self._rows[name][self._start : self._end]

    def read(self, query_DP: Tensor) -> Tensor:
        """Match a frame's lifted keys against the memory, note what was used, and read the values: [P,O,V].

        Raises ValueError for a memory without frames: that of objects which entered on a video's last frame.
        """
        if not self._rows:
            raise ValueError("a frame after the last one, on which objects entered: reset() begins another video.")
        match = match_lifted(self.rows("lifted"), query_DP, self.top_k, self.bijective_k)
        if self.limits.long_term:
            self._note_usage(match)
        value_NC = self.rows("value").flatten(1)
        return sparse_readout(match, value_NC).unflatten(1, self._rows["value"].shape[1:])

    def add(self, entry: FrameEntry, temporary: bool = False) -> None:
        """Remember a frame; a temporary one only until the next is added."""
        if not self._rows:
            self._allocate(entry)
        self._end -= self._temporary
        self._temporary = 0
        positions, limits = self._positions, self.limits
        if not limits.long_term and limits.max_frames is not None and self._frames >= limits.max_frames:
            # Full: a permanent frame takes the place of the oldest but the first, a temporary one goes behind them.
            if not temporary and limits.max_frames > 1:
                slot = 1 + (self._frames - 1) % (limits.max_frames - 1)
                self._write(self._base + slot * positions, entry)
                self._frames += 1
            if not temporary:
                return
        self._reserve(self._end + positions)
        self._write(self._end, entry)
        self._end += positions
        if temporary:
            self._temporary = positions
            return
        self._frames += 1
        if limits.long_term and self.working_frames >= limits.max_working_frames:
            self._consolidate()

    def keep_objects(self, index: list[int]) -> None:
        """Keep only these objects of the group, in this order."""
        value = self._rows["value"]
        self._rows["value"] = take(value, 1, index).contiguous()

    def snapshot(self) -> Snapshot:
        """Return the state as plain values; its tensors are this memory's own, so copy it before the next frame."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        capacity = next(iter(self._rows.values())).shape[0] if self._rows else 0
        return {"rows": {name: self.rows(name) for name in self._rows}, "capacity": capacity, **numbers}

    def restore(self, state: Snapshot) -> None:
        """Return to a state of `snapshot`; its tensors are copied."""
        for name in _NUMBERS:
            setattr(self, name, state[name])
        # Rows go to the places they had: alignment can change the last bit of a product.
        self._rows = {}
        for name, live in state["rows"].items():
            self._rows[name] = live.new_empty((state["capacity"], *live.shape[1:]))
            self.rows(name).copy_(live)

    def _note_usage(self, match: Match) -> None:
        self.rows("received").index_add_(0, match.index_PK.flatten(), match.weight_PK.flatten())
        self.rows("lived").add_(1)

    def _allocate(self, entry: FrameEntry) -> None:
        self._positions = entry.key_PK.shape[0]
        frames = self.limits.max_working_frames if self.limits.long_term else 8
        capacity = frames * self._positions
        columns: dict[str, Tensor | None] = {"lifted": _lift(entry), "value": entry.value_POV}
        if self.limits.long_term:
            columns |= {"key": entry.key_PK, "shrinkage": entry.shrinkage_P1, "selection": entry.selection_PK}
            columns["received"] = columns["lived"] = entry.key_PK.new_zeros((1,), dtype=torch.float32)
        self._rows = {
            name: like.new_empty((capacity, *like.shape[1:])) for name, like in columns.items() if like is not None
        }

    def _reserve(self, end: int, base: int | None = None) -> None:
        # Growing doubles the table, so that the copies of a long video add up to about one copy of its memory.
        capacity = self._rows["value"].shape[0]
        base = self._base if base is None else base
        shift = base - self._base
        if end + shift <= capacity:
            return
        new_capacity = end + shift if shift else max(end, 2 * capacity)
        for name, old in self._rows.items():
            new = old.new_empty((new_capacity, *old.shape[1:]))
            new[self._start + shift : self._end + shift] = old[self._start : self._end]
            self._rows[name] = new
        self._start, self._base, self._end = self._start + shift, base, self._end + shift

    def _write(self, at: int, entry: FrameEntry) -> None:
        to = slice(at, at + entry.key_PK.shape[0])
        self._rows["lifted"][to] = _lift(entry)
        self._rows["value"][to] = entry.value_POV
        if self.limits.long_term:
            assert entry.selection_PK is not None, "long-term memory needs the selection of every key"
            self._rows["key"][to] = entry.key_PK
            self._rows["selection"][to] = entry.selection_PK
            if entry.shrinkage_P1 is not None:
                self._rows["shrinkage"][to] = entry.shrinkage_P1
            self._rows["received"][to] = 0
            self._rows["lived"][to] = _NEWBORN_LIFE

    def _consolidate(self) -> None:
        limits, positions = self.limits, self._positions
        if self._base < limits.max_long_term:
            self._reserve(self._base + limits.max_working_frames * positions, base=limits.max_long_term)
        kept_rows = (limits.min_working_frames - 1) * positions
        first = self._base + positions
        candidates = slice(first, self._end - kept_rows)
        prototypes = consolidate(
            {name: rows[candidates] for name, rows in self._rows.items()},
            min(limits.num_prototypes, limits.max_long_term),
        )
        prototypes["lifted"] = lift_memory(prototypes["key"], prototypes.get("shrinkage"), anisotropic=True)
        count = prototypes["key"].shape[0]
        self._evict(limits.max_long_term - count)
        to = slice(self._start - count, self._start)
        for name, rows in prototypes.items():
            self._rows[name][to] = rows
        self._rows["received"][to] = 0
        self._rows["lived"][to] = _NEWBORN_LIFE
        self._start -= count
        for rows in self._rows.values():
            rows[first : first + kept_rows] = rows[self._end - kept_rows : self._end].clone()
        self._end = first + kept_rows

    def _evict(self, most: int) -> None:
        excess = self.long_term_size - most
        if excess <= 0:
            return
        long_term = slice(self._start, self._base)
        usage = self._rows["received"][long_term] / self._rows["lived"][long_term]
        kept = least_used_removed(usage, excess)
        for rows in self._rows.values():
            rows[self._base - most : self._base] = rows[long_term][kept]
        self._start = self._base - most


def _lift(entry: FrameEntry) -> Tensor:
    return lift_memory(entry.key_PK, entry.shrinkage_P1, entry.selection_PK is not None)
