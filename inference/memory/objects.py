"""The objects of a video: their ids, the group each entered with, their memories and sensory states."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.memory.group import FrameEntry, GroupMemory, MemoryLimits
from inference.snapshot import Snapshot
from model.affinity import lift_query
from model.spacetime.network import KeyFeatures, SpaceTimeNetwork
from util.device import take


@dataclass
class _Group:
    ids: list[int]
    memory: GroupMemory


class ObjectTable:
    """All objects, in order of entry; objects that enter together share a group and its memory."""

    def __init__(
        self, network: SpaceTimeNetwork, limits: MemoryLimits, top_k: int | None, bijective_k: int = 0
    ) -> None:
        """Make an empty table."""
        self._network = network
        self._limits = limits
        self._top_k = top_k
        self._bijective_k = bijective_k
        self._groups: list[_Group] = []
        self.sensory_1OSYX: Tensor | None = None

    @property
    def ids(self) -> list[int]:
        """The ids, in the order of all object dimensions."""
        return [i for group in self._groups for i in group.ids]

    @property
    def memories(self) -> list[GroupMemory]:
        """The memory of each group, oldest group first."""
        return [group.memory for group in self._groups]

    def enter(self, ids: list[int], like: KeyFeatures) -> None:
        """Add a group of new objects with zero sensory states."""
        height, width = like.key.shape[-2:]
        new = self._network.initial_sensory(1, len(ids), height, width, like.key)
        if new is not None:
            old = self.sensory_1OSYX
            self.sensory_1OSYX = new if old is None else torch.cat([old, new], dim=1)
        self._groups.append(_Group(ids, GroupMemory(self._limits, self._top_k, self._bijective_k)))

    def remove(self, ids: list[int]) -> None:
        """Forget objects, and groups that lose their last object."""
        all_ids = self.ids
        if self.sensory_1OSYX is not None:
            kept = [index for index, i in enumerate(all_ids) if i not in ids]
            self.sensory_1OSYX = take(self.sensory_1OSYX, 1, kept)
        for group in self._groups:
            kept = [index for index, i in enumerate(group.ids) if i not in ids]
            if kept and len(kept) < len(group.ids) and group.memory.num_objects:
                group.memory.keep_objects(kept)
            group.ids = [group.ids[index] for index in kept]
        self._groups = [group for group in self._groups if group.ids]
        if not self._groups:
            self.sensory_1OSYX = None

    def snapshot(self) -> Snapshot:
        """Return the state as plain values; its tensors are this table's own, so copy it before the next frame."""
        groups = [{"ids": group.ids, "memory": group.memory.snapshot()} for group in self._groups]
        return {"groups": groups, "sensory": self.sensory_1OSYX}

    def restore(self, state: Snapshot) -> None:
        """Return to a state of `snapshot`."""
        self._groups = []
        for group in state["groups"]:
            memory = GroupMemory(self._limits, self._top_k, self._bijective_k)
            memory.restore(group["memory"])
            self._groups.append(_Group(list(group["ids"]), memory))
        self.sensory_1OSYX = state["sensory"]

    def read(self, query: KeyFeatures) -> Tensor:
        """Read every object's value for a query frame: [1,O,V,Y,X].

        Each group is matched against its own memory, so that late objects see only frames since they entered.
        """
        selection_KP = None if query.selection is None else query.selection[0].flatten(1)
        query_DP = lift_query(query.key[0].flatten(1), selection_KP, query.shrinkage is not None)
        values_POV = [memory.read(query_DP) for memory in self.memories]
        value_POV = values_POV[0] if len(values_POV) == 1 else torch.cat(values_POV, dim=1)
        value_OVP = value_POV.permute(1, 2, 0)
        return value_OVP.unflatten(2, query.key.shape[-2:]).unsqueeze(0)

    def remember(self, frame: KeyFeatures, value_1OVYX: Tensor, temporary: bool = False) -> None:
        """Add a frame to the memory of every group."""

        def rows(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[0].flatten(1).T

        value_POV = value_1OVYX[0].flatten(2).permute(2, 0, 1)
        key_PK = rows(frame.key)
        assert key_PK is not None
        for group, value in zip(self._groups, value_POV.split([len(g.ids) for g in self._groups], dim=1), strict=True):
            entry = FrameEntry(key_PK, rows(frame.shrinkage), rows(frame.selection), value)
            group.memory.add(entry, temporary)
