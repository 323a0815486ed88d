"""Compiled training: few graphs, none broken, however many objects clips have and whatever was drawn for them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.eval_frame import _debug_get_cache_entry_list
from torch._dynamo.utils import counters

import train
from dataset.clip import ClipBatch
from model.build import find_network
from model.fast import compiled_training
from model.training.start import build_state
from model.training.state import TrainState
from scripts.benchmarks.train import random_batch
from util.config.presets import preset
from util.config.train import TrainConfig

CPU = torch.device("cpu")
MOST = 3  # graphs for each part


@pytest.fixture(autouse=True)
def _eager_backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trace as for any backend, and compute eagerly."""
    monkeypatch.setattr(compiled_training, "BACKEND", "eager")
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def run_of(name: str, **changes: Any) -> TrainConfig:
    run = preset(name, "tiny")
    clip = replace(run.clip, frames=5, max_objects=3, deep_update=0.4)
    small = replace(run, clip=clip, augment=replace(run.augment, crop_size=32), batch_size=3, freeze_bn="yes")
    return replace(small, correspondence=replace(run.correspondence, alpha=0.0), precision="fp32", **changes)


def drawn_batch(run: TrainConfig, step: int, slots: int) -> ClipBatch:
    """Return clips of one to three objects each, padded to `slots`; whatever is drawn for them differs by step."""
    counts = torch.tensor([1 + (step + clip) % (1 + step % 3) for clip in range(run.batch_size)])
    batch = random_batch(run)
    return replace(
        batch,
        images_BT3HW=torch.randint(
            0, 256, batch.images_BT3HW.shape, generator=torch.Generator().manual_seed(step)
        ).byte(),
        labels_BTHW=torch.where(batch.labels_BTHW <= counts[:, None, None, None], batch.labels_BTHW, 0),
        valid_BO=torch.arange(max(int(counts.max()), slots)) < counts[:, None],
        seeds=tuple(range(step * run.batch_size, (step + 1) * run.batch_size)),
    )


def graphs(state: TrainState, name: str) -> dict[str, int]:
    """Count the graphs of each compiled part."""
    parts = {part: state.model.get_submodule(part) for part in find_network(name).family.compiled}
    return {part: len(_debug_get_cache_entry_list(type(module).forward.__code__)) for part, module in parts.items()}


def steps(run: TrainConfig, count: int, slots: int) -> tuple[TrainState, list[float]]:
    state, losses = build_state(run, CPU), []
    for step in range(count):
        metrics, _ = train.train_step(state, [drawn_batch(run, step, slots)], run)
        losses.append(metrics["loss"].item())
    return state, losses


@pytest.mark.parametrize("name", ["xmem", *(pytest.param(name, marks=pytest.mark.slow) for name in ("stcn", "emvos"))])
def test_few_graphs_serve_all_steps(name: str) -> None:
    run = run_of(name, compile=True)
    state, _ = steps(run, 40, slots=run.clip.max_objects)
    found = graphs(state, name)
    assert all(1 <= count <= MOST for count in found.values()), found
    assert not counters["graph_break"], dict(counters["graph_break"])


def test_compiled_steps_equal_eager_ones() -> None:
    run = run_of("xmem")
    _, plain = steps(run, 3, slots=0)
    _, ours = steps(replace(run, compile=True), 3, slots=run.clip.max_objects)
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(plain), atol=0, rtol=2e-4)


@pytest.mark.slow
def test_as_many_graphs_as_objects_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without padding to the run's most objects, there are more."""
    run = run_of("xmem", compile=True)
    state, _ = steps(run, 6, slots=0)
    assert graphs(state, "xmem")["decoder"] > MOST


def breaking(call: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    def broken(self: Any, x: Tensor) -> Any:
        assert x.sum().item() is not None
        return call(self, x)

    return broken


def test_a_graph_break_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = type(build_state(run_of("xmem"), CPU).model.get_submodule("key_encoder"))
    monkeypatch.setattr(encoder, "forward", breaking(encoder.forward))
    steps(run_of("xmem", compile=True), 1, slots=3)
    assert counters["graph_break"]
