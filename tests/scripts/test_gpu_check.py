"""The check of a GPU: its parts run on a CPU, and a part that fails is said without ending the others."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from model.fast import compiled
from scripts import gpu_check
from scripts.benchmarks import gpu_frames, gpu_training
from scripts.gpu_check import Config, main


def test_parts_run_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ("precisions", "processes", "from_files")
    main(Config(device="cpu", quick=True, only=only, output=tmp_path / "a.json"))
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["device"] == "cpu" and tuple(report["parts"]) == only
    assert all(found["passed"] for found in report["parts"].values())
    assert 0.995 <= report["parts"]["precisions"]["bf16"] <= 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["on", *only]


def test_a_part_that_fails_is_said_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Config, device: torch.device) -> dict[str, object]:
        raise RuntimeError("no kernel image is available\nand more")

    monkeypatch.setitem(gpu_check.PARTS, "parity", broken)
    with pytest.raises(SystemExit) as stop:
        main(Config(device="cpu", quick=True, only=("parity", "processes"), output=tmp_path / "a.json"))
    assert stop.value.code == 1
    parts = json.loads((tmp_path / "a.json").read_text())["parts"]
    assert parts["parity"]["error"] == "RuntimeError: no kernel image is available" and parts["processes"]["passed"]


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--only speed: expected some of parity, precisions"):
        main(Config(device="cpu", only=("speed",), output=tmp_path / "a.json"))


def test_training_is_measured_beside_the_rate_of_a_matrix_product(tmp_path: Path) -> None:
    main(Config(device="cpu", quick=True, only=("training_speed",), output=tmp_path / "a.json"))
    found = json.loads((tmp_path / "a.json").read_text())["parts"]["training_speed"]
    assert found["bf16 TFLOP/s"] > 0
    for name in ("xmem", "stcn"):
        assert found[f"{name} eager clips a second"] > 0 and found[f"{name} share of the matrix rate"] > 0


def test_frames_are_a_share_of_the_rate_of_a_matrix_product(tmp_path: Path) -> None:
    main(Config(device="cpu", quick=True, only=("frames_a_second",), output=tmp_path / "a.json"))
    found = json.loads((tmp_path / "a.json").read_text())["parts"]["frames_a_second"]
    one, three = (found[f"{n} objects share"] * found["bf16 TFLOP/s"] / found[f"{n} objects"] for n in (1, 3))
    assert 0.0001 < one < three < 3 * one  # TFLOP of a frame: objects share the image's part


def test_compiled_frames_are_measured_beside_eager_ones(tmp_path: Path) -> None:
    main(Config(device="cpu", quick=True, only=("compiled_frames",), output=tmp_path / "a.json"))
    found = json.loads((tmp_path / "a.json").read_text())["parts"]["compiled_frames"]
    names = [f"{objects} objects {word}" for objects in (1, 3) for word in ("eager", "compiled", "ready after")]
    assert found["passed"] and min(found[name] for name in names) > 0
    assert compiled.BACKEND == "inductor"


def test_without_a_compiler_eager_frames_are_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = gpu_frames.FrameRate(2.0, 1.0, 0.0)
    monkeypatch.setattr(gpu_frames, "frame_rate", lambda *_, **__: rate)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    found = gpu_frames.compiled_frames(torch.device("cpu"), quick=False)
    assert found == {
        "compiled": "left out, no C++ compiler here",
        "1 objects eager": 2.0,
        "5 objects eager": 2.0,
        "passed": True,
    }
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu_frames.missing_compiler(torch.device("cuda")) == "no Triton here"


@pytest.mark.parametrize(("losses", "passed"), [([4.0, 3.0, 2.0], True), ([2.0, 2.5, 3.0], False)])
def test_a_short_training_must_lower_the_loss(
    losses: list[float], passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(words: list[str]) -> None:
        run = Path(words[words.index("--output") + 1])
        run.mkdir()
        lines = [{"step": i, "loss": x, "clips_per_second": 2.0, "data_wait": 0.1 * i} for i, x in enumerate(losses)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    monkeypatch.setattr(gpu_training.train, "command_line", train)
    found = gpu_training.short_training(torch.device("cpu"), 1.0)
    assert found["passed"] == passed and (found["loss before"], found["loss after"]) == (losses[0], losses[-1])
    assert found["steps"] == 2 and found["data_wait"] == pytest.approx(0.1) and found["clips_per_second"] == 2.0
