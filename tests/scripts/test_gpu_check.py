"""The check of a GPU: its parts run on a CPU, and a part that fails is said without ending the others."""

import json
from pathlib import Path

import pytest
import torch

from scripts import gpu_check
from scripts.gpu_check import Config, main


def test_parts_run_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ("precisions", "processes", "from_files")
    main(Config(device="cpu", quick=True, only=only, output=tmp_path / "a.json"))
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["device"] == "cpu" and tuple(report["parts"]) == only
    assert all(found["passed"] for found in report["parts"].values())
    assert 0.995 <= report["parts"]["precisions"]["bf16"] <= 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(only)


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
