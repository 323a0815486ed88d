"""What would happen on a GPU, without one: no device is mixed, nothing waits, few kernels are started.

Budgets are launches before CUDA graphs; see `tests/support/fake_cuda.py` for what counts as one.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import inference.segmenter
import train
from inference import InferenceConfig, VOSSegmenter, build_segmenter
from model import build_model
from model.training import start
from scripts.benchmark_train import random_batch
from tests.support.fake_cuda import CUDA, Watch, fake_cuda
from util.config.presets import preset
from util.config.train import TrainConfig

ALL = pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem", "bmvos", "emvos"])
IMAGE, MASK = torch.zeros(3, 48, 64), torch.zeros(48, 64, dtype=torch.int64)
ORDINARY, MEMORY, TRAINING = 195, 275, 4_900


def fake_segmenter(name: str, size: str = "tiny", **settings: object) -> VOSSegmenter:
    with torch.device(CUDA):
        model = build_model(name, size)
    config = InferenceConfig(**{"precision": "fp16", "mem_every": 2} | settings)  # type: ignore[arg-type]
    return build_segmenter(model, config, CUDA)


def watched(call: Callable[[], object]) -> Watch:
    with Watch() as watch:
        call()
    return watch


@ALL
def test_segmenting_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects enter, are corrected and leave; XMem consolidates and evicts."""
    settings = {"max_mid_term_frames": 3, "min_mid_term_frames": 2, "num_prototypes": 8, "max_long_term_elements": 12}
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter(name, mem_every=1, **settings)  # type: ignore[arg-type]
        for t in range(10):
            given = {0: [1, 2], 3: [7], 5: [2]}.get(t)
            watch = watched(lambda given=given: segmenter.step(IMAGE, None if given is None else MASK, given))  # type: ignore[misc]
            assert not watch.waits, f"frame {t}: {dict(watch.waits)}"
            if t == 6:
                assert not watched(lambda: segmenter.remove_objects([1])).waits
        assert segmenter.object_ids == [2, 7]
        if name == "xmem":
            assert segmenter.memory_sizes[0][1] == 12


def test_launches_of_a_frame_at_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = torch.zeros(3, 480, 854), torch.zeros(480, 854, dtype=torch.int64)
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem", "base", mem_every=3)
        segmenter.step(image, mask, [1])
        counts = [watched(lambda: segmenter.step(image)).count for _ in range(3)]
    assert counts[0] == counts[1] <= ORDINARY, counts
    assert ORDINARY < counts[2] <= MEMORY, counts


def fake_run(name: str, precision: str, **changes: object) -> TrainConfig:
    run = preset(name, "tiny")
    correspondence = replace(run.correspondence, alpha=0.0)
    clip = replace(run.clip, frames=5, max_objects=2)
    augment = replace(run.augment, crop_size=32)
    changes = {"batch_size": 2, "precision": precision, "freeze_bn": "yes"} | changes
    return replace(run, clip=clip, augment=augment, correspondence=correspondence, **changes)  # type: ignore[arg-type]


class _Forward(Exception):  # noqa: N818
    """The forward pass and the losses are over."""


def forward(run: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watch a step up to its backward pass: autograd wants a driver for what is on `cuda`."""

    def stop(*_: object) -> None:
        raise _Forward

    monkeypatch.setattr(torch, "manual_seed", lambda _: None)
    batch = random_batch(run)
    with fake_cuda(monkeypatch):
        state = start.build_state(run, CUDA)
        state.scaler = torch.amp.GradScaler("cpu", enabled=False)
        monkeypatch.setattr(Tensor, "backward", stop)
        batch = batch.pin_memory()
        with Watch() as watch, pytest.raises(_Forward):
            train.train_step(state, [batch], run)
    return watch


@ALL
def test_a_training_steps_forward_pass_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = forward(fake_run(name, "fp16"), monkeypatch)
    assert watch.count > 100 and not watch.waits, dict(watch.waits)


def backward(run: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watch a whole step, its second, on fake tensors of a CPU, weights laid out as on a GPU."""
    monkeypatch.setattr(torch, "manual_seed", lambda _: None)
    monkeypatch.setattr(start, "lay_out", lambda network, _: network.to(memory_format=torch.channels_last))
    cpu, batch = torch.device("cpu"), random_batch(run)
    with fake_cuda(monkeypatch) as mode:
        state = start.build_state(run, cpu)
        state.scaler = torch.amp.GradScaler("cpu", enabled=False)
        fake = batch._map(lambda x: x if x is batch.valid_BO else mode.from_tensor(x))
        train.train_step(state, [fake], run)
        with Watch(cpu) as watch:
            train.train_step(state, [fake], run)
    return watch


@ALL
def test_a_backward_pass_asks_for_no_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`aten::item` in a backward pass is a wait in every one of its calls."""
    clipped = fake_run(name, "fp16")
    watch = backward(replace(clipped, optim=replace(clipped.optim, ema=0.9, clip_gradient=1.0)), monkeypatch)
    assert watch.launches["convolution_backward"] > 10 and not watch.waits, dict(watch.waits)


@pytest.mark.slow
def test_launches_of_a_training_step_at_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    run = replace(preset("xmem"), precision="fp16", pretrained=False, freeze_bn="yes", batch_size=3)
    run = replace(run, correspondence=replace(run.correspondence, alpha=0.0))
    assert run.clip.frames == 8
    assert backward(run, monkeypatch).count <= TRAINING


def test_the_guard_sees_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = inference.segmenter.aggregate

    def asking(prob_BOHW: Tensor) -> Tensor:
        assert prob_BOHW.amax().item() is not None
        return usual(prob_BOHW)

    monkeypatch.setattr(inference.segmenter, "aggregate", asking)
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem")
        assert watched(lambda: segmenter.step(IMAGE, MASK, [1])).waits == {"_local_scalar_dense": 1}


def test_the_guard_sees_a_transfer_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.segmenter, "upload", lambda x, device: x.to(device))
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem")
        assert watched(lambda: segmenter.step(IMAGE, MASK, [1])).waits == {"upload": 1}


def test_the_guard_sees_mixed_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.segmenter, "upload", lambda x, device: x)
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem", precision="fp32")
        with pytest.raises(RuntimeError, match="cpu.*cuda:0|cuda:0.*cpu|[Dd]evice"):
            segmenter.step(IMAGE, MASK, [1])
