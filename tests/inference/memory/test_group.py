"""Group memory: values stay with their keys through growth, consolidation and eviction.

The reference is a list of rows kept by the rules of DESIGN, with attention written out; nothing is shared with the
memory under test but those rules.
"""

from dataclasses import dataclass

import pytest
import torch

from inference.memory.group import FrameEntry, GroupMemory, MemoryLimits
from inference.memory.objects import ObjectTable
from model import KeyFeatures, build_model

K, V, Y, X = 4, 3, 2, 3
P = Y * X


@dataclass
class Row:
    key: torch.Tensor
    shrinkage: torch.Tensor
    selection: torch.Tensor
    value: torch.Tensor
    received: float = 0.0
    lived: float = 1e-7

    @property
    def usage(self) -> float:
        return self.received / self.lived


def score(row: Row, query: torch.Tensor, selection: torch.Tensor) -> torch.Tensor:
    return -row.shrinkage * (selection * (row.key - query) ** 2).sum() / K**0.5


def attend(rows: list[Row], query: torch.Tensor, selection: torch.Tensor, top_k: int) -> dict[int, float]:
    scores = torch.stack([score(row, query, selection) for row in rows])
    best = scores.topk(min(top_k, len(rows)))
    return dict(zip(best.indices.tolist(), torch.softmax(best.values, 0).tolist(), strict=True))


class Reference:
    """One group's memory as plain lists."""

    def __init__(self, limits: MemoryLimits, top_k: int) -> None:
        self.limits, self.top_k = limits, top_k
        self.frames: list[list[Row]] = []
        self.long_term: list[Row] = []

    @property
    def rows(self) -> list[Row]:
        return self.long_term + [row for frame in self.frames for row in frame]

    def read(self, key: torch.Tensor, selection: torch.Tensor) -> torch.Tensor:
        rows, out = self.rows, []
        received = [0.0] * len(rows)
        for p in range(P):
            weights = attend(rows, key[:, p], selection[:, p], self.top_k)
            for index, weight in weights.items():
                received[index] += weight
            out.append(torch.stack([rows[i].value * w for i, w in weights.items()]).sum(0))
        for row, amount in zip(rows, received, strict=True):
            row.received, row.lived = row.received + amount, row.lived + 1
        return torch.stack(out)

    def add(self, rows: list[Row]) -> None:
        self.frames.append(rows)
        limits = self.limits
        if len(self.frames) < limits.max_working_frames:
            return
        kept = limits.min_working_frames - 1
        candidates = [row for frame in self.frames[1 : len(self.frames) - kept] for row in frame]
        chosen = sorted(candidates, key=lambda row: -row.usage)[: limits.num_prototypes]
        made = []
        for prototype in chosen:
            weights = attend(candidates, prototype.key, prototype.selection, len(candidates))
            value = torch.stack([candidates[i].value * w for i, w in weights.items()]).sum(0)
            shrinkage = torch.stack([candidates[i].shrinkage * w for i, w in weights.items()]).sum(0)
            made.append(Row(prototype.key, shrinkage, prototype.selection, value))
        excess = len(self.long_term) + len(made) - limits.max_long_term
        if excess > 0:
            gone = sorted(self.long_term, key=lambda row: row.usage)[:excess]
            self.long_term = [row for row in self.long_term if not any(row is g for g in gone)]
        self.long_term += made
        self.frames = [self.frames[0], *self.frames[len(self.frames) - kept :]]


def draw(g: torch.Generator) -> KeyFeatures:
    key = torch.randn(1, K, Y, X, generator=g)
    shrinkage = 1 + torch.rand(1, 1, Y, X, generator=g)
    selection = 0.1 + torch.rand(1, K, Y, X, generator=g)
    nothing = torch.empty(0)
    return KeyFeatures(key, shrinkage, selection, nothing, nothing, nothing, nothing)


def as_rows(frame: KeyFeatures, value_OVP: torch.Tensor) -> list[Row]:
    assert frame.shrinkage is not None and frame.selection is not None
    key, shrinkage, selection = (x[0].flatten(1) for x in (frame.key, frame.shrinkage, frame.selection))
    return [Row(key[:, p], shrinkage[0, p], selection[:, p], value_OVP[:, :, p]) for p in range(P)]


def short_memory(max_frames: int | None = None) -> MemoryLimits:
    """Limits without long-term memory, where most have no meaning."""
    return MemoryLimits(
        long_term=False,
        max_working_frames=0,
        min_working_frames=0,
        num_prototypes=0,
        max_long_term=0,
        max_frames=max_frames,
    )


def test_every_group_reads_its_own_pairs() -> None:
    """Objects enter at frames 0, 3 and 7; each group consolidates and evicts on its own."""
    limits = MemoryLimits(
        long_term=True, max_frames=None, max_working_frames=4, min_working_frames=2, num_prototypes=5, max_long_term=12
    )
    top_k = 6
    network = build_model("xmem", "tiny", key_dim=K, value_dim=V)
    table = ObjectTable(network, limits, top_k)
    references: list[tuple[Reference, int]] = []
    entering = {0: [5, 9], 3: [2], 7: [40, 41, 300]}
    g = torch.Generator().manual_seed(0)
    evicted = 0
    for t in range(40):
        frame = draw(g)
        assert frame.selection is not None
        if table.ids:
            read = table.read(frame)[0].flatten(2)
            key, selection = frame.key[0].flatten(1), frame.selection[0].flatten(1)
            expected = torch.cat([reference.read(key, selection) for reference, _ in references], dim=1)
            torch.testing.assert_close(read, expected.permute(1, 2, 0), atol=1e-3, rtol=1e-4)
        if t in entering:
            table.enter(entering[t], frame)
            references.append((Reference(limits, top_k), len(entering[t])))
        # A value holds the index of its own key, its object and its frame: a mix-up cannot hide.
        index = (t * P + torch.arange(P)).float()
        values = [torch.stack([index, torch.full((P,), 1000.0 * i), torch.full((P,), float(t))]) for i in table.ids]
        value_OVP = torch.stack(values)
        table.remember(frame, value_OVP.unflatten(2, (Y, X))[None])
        start = 0
        for reference, count in references:
            before = len(reference.long_term)
            reference.add(as_rows(frame, value_OVP[start : start + count]))
            evicted += len(reference.long_term) == limits.max_long_term == before
            start += count
        for memory, (reference, _) in zip(table.memories, references, strict=True):
            assert memory.long_term_size == len(reference.long_term) <= limits.max_long_term
            assert memory.size == len(reference.rows)
    assert table.ids == [5, 9, 2, 40, 41, 300]
    assert evicted > 5, "the test must reach eviction"


def test_removed_objects_leave_the_others_paired() -> None:
    limits = MemoryLimits(
        long_term=True, max_frames=None, max_working_frames=3, min_working_frames=2, num_prototypes=4, max_long_term=8
    )
    table = ObjectTable(build_model("xmem", "tiny", key_dim=K, value_dim=V), limits, 5)
    g = torch.Generator().manual_seed(1)
    frame = draw(g)
    table.enter([1, 2], frame)
    table.enter([3], frame)
    for _ in range(6):
        value = torch.randn(1, 3, V, Y, X, generator=g)
        table.remember(draw(g), value)
    query = draw(g)
    before = table.read(query)
    sensory = table.sensory_1OSYX
    assert sensory is not None
    table.remove([1])
    assert table.ids == [2, 3]
    torch.testing.assert_close(table.read(query), before[:, 1:])
    table.remove([3])
    assert table.ids == [2]
    assert table.sensory_1OSYX is not None and torch.equal(table.sensory_1OSYX, sensory[:, 1:2])
    torch.testing.assert_close(table.read(query), before[:, 1:2])
    table.remove([2])
    assert table.ids == [] and table.sensory_1OSYX is None


def entry(t: int, objects: int = 1) -> FrameEntry:
    return FrameEntry(torch.full((P, K), float(t)), None, None, torch.full((P, objects, V), float(t)))


def frames_held(memory: GroupMemory) -> list[float]:
    # A lifted key is -|k|^2, then 2 k, over sqrt(K) = 2.
    assert torch.equal(memory.rows("lifted")[:, 1], memory.rows("value")[:, 0, 0])
    return sorted(memory.rows("value")[::P, 0, 0].tolist())


def test_unbounded_memory_grows_and_keeps_all() -> None:
    memory = GroupMemory(short_memory(), 3)
    for t in range(37):
        memory.add(entry(t))
    assert frames_held(memory) == [float(t) for t in range(37)]


@pytest.mark.parametrize(("most", "held"), [(4, [0, 7, 8, 9]), (2, [0, 9]), (1, [0])])
def test_bounded_memory_keeps_the_first_and_the_newest(most: int, held: list[float]) -> None:
    memory = GroupMemory(short_memory(max_frames=most), 3)
    for t in range(10):
        memory.add(entry(t))
    assert frames_held(memory) == held


@pytest.mark.parametrize("most", [None, 2])
def test_a_temporary_frame_lasts_until_the_next(most: int | None) -> None:
    memory = GroupMemory(short_memory(max_frames=most), 3)
    memory.add(entry(0))
    memory.add(entry(1), temporary=True)
    assert frames_held(memory) == [0, 1]
    memory.add(entry(2), temporary=True)
    assert frames_held(memory) == [0, 2]
    memory.add(entry(3))
    assert frames_held(memory) == [0, 3]
    memory.add(entry(4), temporary=True)
    assert frames_held(memory) == [0, 3, 4]


def test_fewer_candidates_than_prototypes() -> None:
    limits = MemoryLimits(
        long_term=True,
        max_frames=None,
        max_working_frames=3,
        min_working_frames=2,
        num_prototypes=1000,
        max_long_term=1000,
    )
    memory = GroupMemory(limits, 30)
    g = torch.Generator().manual_seed(0)
    for t in range(3):
        frame = draw(g)
        assert frame.selection is not None
        memory.add(FrameEntry(frame.key[0].flatten(1).T, None, frame.selection[0].flatten(1).T, entry(t).value_POV))
    assert memory.long_term_size == P  # one candidate frame, all of it
