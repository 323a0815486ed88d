"""The benchmark of a training step: shapes, and that rows are complete."""

import pytest
import torch

import scripts.benchmarks.train as benchmark
from scripts.benchmarks.calibration import against_calibration, in_own_process
from scripts.benchmarks.train import RELEASED, Config, describe, random_batch, run_config
from util.config.presets import preset


@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_the_shapes_are_those_of_the_released_figures(name: str) -> None:
    run = run_config(Config(), name)
    batch, shape = random_batch(run), RELEASED[name]
    assert batch.images_BT3HW.shape == (shape.batch, shape.frames, 3, 192, 192)
    assert batch.labels_BTHW.unique().tolist() == list(range(shape.objects + 1)) and batch.valid_BO.all()
    full = run_config(Config(full=True), name)
    assert full.batch_size == 8 and full.augment.crop_size == 384 and full.clip == preset(name, "base", "2").clip
    assert describe(full).startswith("8 x ") and not full.pretrained and full.freeze_bn == "yes"


def test_a_row_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    step = torch.nn.Linear(8, 8)
    ready = torch.device("cpu"), lambda: step(torch.zeros(4, 8))
    monkeypatch.setattr(benchmark, "ready_step", lambda config, name: ready)
    row = benchmark.time_and_flops(Config(repeats=1), "stcn")
    assert row["gflop"] == pytest.approx(2 * 4 * 8 * 8 / 1e9)
    assert row["r"] == pytest.approx(row["seconds"] * row["rate"] / 719.8)
    assert "r" not in benchmark.time_and_flops(Config(repeats=1, full=True), "stcn")
    assert benchmark.peak(Config(), "stcn")["peak_mb"] > 50


def test_calibration_and_own_processes() -> None:
    seconds, rate = against_calibration(torch.device("cpu"), lambda: None, 1)
    assert 0 <= seconds < 0.1 and rate > 0
    assert in_own_process(pow, 2, 5) == 32
