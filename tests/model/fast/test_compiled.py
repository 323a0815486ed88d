"""Compiled parts: the results of eager ones, in few graphs without breaks, while objects come and go."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from inference import InferenceConfig, build_segmenter
from model import build_model
from model.fast import compiled
from tests.support.random_networks import random_batch_norm

_slow = (pytest.param(name, marks=pytest.mark.slow) for name in ("stcn", "stcn-corr", "bmvos", "emvos"))
ALL = pytest.mark.parametrize("name", ["xmem", *_slow])
LIMITS = {"max_mid_term_frames": 3, "min_mid_term_frames": 2, "num_prototypes": 8, "max_long_term_elements": 12}
FRAMES = torch.randn(12, 3, 48, 60, generator=torch.Generator().manual_seed(0))
MASK = torch.arange(48 * 60).view(48, 60) // 240  # ids 0 to 11 in bands
GIVEN = {0: [1], 2: [2], 4: [3, 4], 6: [2], 8: [5, 6, 7]}
LEAVING = {5: [1], 10: [2, 3, 4, 5, 6]}


def play(name: str, compile: bool) -> list[Tensor]:
    """Segment a video: 1, 2, 4, 3, 6 and 1 objects, one of them corrected, and a memory that grows."""
    torch.manual_seed(0)
    model = random_batch_norm(build_model(name, "tiny"))
    segmenter = build_segmenter(model, InferenceConfig(mem_every=3, compile=compile, **LIMITS))  # type: ignore[arg-type]
    found = []
    for t, frame in enumerate(FRAMES):
        ids = GIVEN.get(t)
        found.append(segmenter.step(frame, None if ids is None else MASK, ids, last=t == len(FRAMES) - 1))
        segmenter.remove_objects(LEAVING.get(t, []))
    return found


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the graphs of each compiled part, by its class; they run as they are."""
    usual, counts = torch.compile, Counter[str]()

    def counting(part: nn.Module, backend: str, mode: None) -> Callable[..., Any]:
        def counted(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
            counts[type(part).__name__] += 1
            return graph.forward

        return usual(part, backend=counted)

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", counting)
    return counts


@ALL
def test_few_graphs_without_breaks_and_the_results_of_eager_parts(name: str, graphs: Counter[str]) -> None:
    with torch.random.fork_rng():
        torch.testing.assert_close(play(name, compile=True), play(name, compile=False), atol=1e-5, rtol=1e-4)
    assert len(graphs) == (2 if name in ("bmvos", "emvos") else 3) and max(graphs.values()) <= 3, graphs
    assert not torch._dynamo.utils.counters["graph_break"]
    assert not torch._dynamo.utils.counters["recompile_limit"]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Have parts behave as CUDA graphs do, and count their runs: results lie where the last run's lay, inputs stay."""
    counts = Counter[str]()

    def record(part: nn.Module, backend: str, mode: str | None) -> Callable[..., Any]:
        assert mode == "reduce-overhead"
        places: dict[Any, list[Tensor]] = {}

        def replay(*inputs: Any) -> Any:
            counts[type(part).__name__] += 1
            versions = [x._version for x in inputs if isinstance(x, Tensor)]
            results, form = tree_flatten(part(*inputs))
            assert versions == [x._version for x in inputs if isinstance(x, Tensor)]  # or no graph is recorded
            shapes = tuple(None if x is None else x.shape for x in results)
            held = places.setdefault(shapes, [torch.empty_like(x) for x in results if x is not None])
            places_left = iter(held)
            return tree_unflatten([None if x is None else next(places_left).copy_(x) for x in results], form)

        return replay

    monkeypatch.setattr(torch, "compile", record)
    monkeypatch.setattr(compiled, "records", lambda device: True)
    return counts


@pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem", "bmvos", "emvos"])
def test_results_outlive_the_next_run_of_a_recorded_graph(name: str, recorded: Counter[str]) -> None:
    torch.testing.assert_close(play(name, compile=True), play(name, compile=False), atol=1e-5, rtol=1e-4)
    assert len(recorded) == (2 if name in ("bmvos", "emvos") else 3) and min(recorded.values()) > 2


def test_the_sensory_memory_would_be_overwritten(recorded: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "tree_map_only", lambda kind, change, results: results)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(play("xmem", compile=True), play("xmem", compile=False), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_the_count_sees_what_varies(graphs: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.CompiledDecoder, "forward", compiled.CompiledPart.forward)
    monkeypatch.setattr(compiled, "steady", lambda x: x)
    play("xmem", compile=True)
    assert graphs["FusingDecoder"] > 3
