"""Snapshots: the same continuation, bit for bit, from memory and from a file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference import InferenceConfig, VOSSegmenter, build_segmenter
from model import build_model
from tests.support.toy_frames import FIRST, frame, mask_of

# Consolidation and eviction happen within the clip, and a second group of objects enters.
CONFIG = InferenceConfig(
    mem_every=2, max_mid_term_frames=4, min_mid_term_frames=2, num_prototypes=5, max_long_term_elements=12
)
LATER = mask_of(_9=(0, 30, 12, 50), _7=(20, 4, 34, 20))
LENGTH = 18
CASES = {
    "stcn": InferenceConfig(mem_every=2, include_last=True),
    "stcn bounded": InferenceConfig(mem_every=2, max_memory_frames=3),
    "xmem": CONFIG,
    "bmvos": InferenceConfig(),
    "emvos": InferenceConfig(),
}


def segmenter_of(case: str) -> VOSSegmenter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_segmenter(build_model(case.split()[0], "tiny").eval(), CASES[case])


def step(segmenter: VOSSegmenter, t: int) -> Tensor:
    return segmenter.step(frame(t), {0: FIRST, 9: LATER}.get(t), last=t == LENGTH - 1)


@pytest.mark.parametrize("case", CASES)
def test_the_continuation_is_the_same_bit_for_bit(case: str, tmp_path: Path) -> None:
    segmenter = segmenter_of(case)
    probs, states = [], {}
    for t in range(LENGTH):
        if t in (0, 5, 12):
            states[t] = segmenter.snapshot()
        probs.append(step(segmenter, t))
    other = segmenter_of(case)
    for t in (12, 5, 0, 12):  # back and forth, and the same state twice
        torch.save(states[t], tmp_path / "state.pth")
        loaded = torch.load(tmp_path / "state.pth", weights_only=True)
        for target, state in ((segmenter, states[t]), (other, loaded)):
            target.restore(state)
            for later in range(t, LENGTH):
                assert torch.equal(step(target, later), probs[later]), (t, later)
    assert segmenter.object_ids == [7, 300, 9]


@pytest.mark.parametrize("case", CASES)
def test_a_snapshot_is_a_copy_of_what_is_alive(case: str) -> None:
    segmenter = segmenter_of(case)
    for t in range(5):
        step(segmenter, t)
    state, before = segmenter.snapshot("cpu"), segmenter.memory_sizes
    segmenter.remove_objects([7])
    step(segmenter, 5)
    segmenter.restore(state)
    assert segmenter.object_ids == [7, 300] and segmenter.memory_sizes == before


def test_a_snapshot_of_another_network_is_refused() -> None:
    state = segmenter_of("stcn").snapshot()
    with pytest.raises(ValueError, match="expected a snapshot of a segmenter for xmem, received one for stcn"):
        segmenter_of("xmem").restore(state)
