"""The table of objects: what stays with which object."""

import torch

from inference.memory.group import MemoryLimits
from inference.memory.objects import ObjectTable
from tests.support.toy_videos import toy_model


def test_sensory_states_stay_with_their_objects() -> None:
    network = toy_model("xmem")
    limits = MemoryLimits(
        long_term=False, max_working_frames=5, min_working_frames=2, num_prototypes=4, max_long_term=8, max_frames=None
    )
    table = ObjectTable(network, limits, top_k=None)
    with torch.no_grad():
        features = network.encode_key(torch.zeros(1, 3, 32, 48))
    table.enter([5], features)
    assert table.sensory_1OSYX is not None and not table.sensory_1OSYX.any()
    table.sensory_1OSYX += 1
    table.enter([2, 9], features)
    assert table.ids == [5, 2, 9]
    assert [bool(state.any()) for state in table.sensory_1OSYX[0]] == [True, False, False]
    table.sensory_1OSYX[:, 2] = 7
    table.remove([2])
    assert table.ids == [5, 9]
    assert [state.unique().tolist() for state in table.sensory_1OSYX[0]] == [[1.0], [7.0]]
    table.remove([5])
    assert len(table.memories) == 1
    table.remove([9])
    assert table.sensory_1OSYX is None and table.memories == []
