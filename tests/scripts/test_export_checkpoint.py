import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from model.build import build_model
from model.weights import load_checkpoint
from scripts.export_checkpoint import ExportConfig, main
from util.cli import run
from util.files.checkpoint import save_checkpoint


def export(*words: object) -> None:
    run(main, ExportConfig, "export_checkpoint.py", "", [str(word) for word in words])


def test_own_checkpoints_with_their_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build_model("xmem", "tiny")
    averaged = {key: x * 0.5 if x.is_floating_point() else x for key, x in model.state_dict().items()}
    content = {"format": "corrvos", "version": 1, "network": model.state_dict(), "ema": averaged, "step": 7, "stage": 2}
    save_checkpoint(tmp_path / "last.pth", {**content, "config": {"model": "xmem", "lr": 1e-4}, "optimizer": {}})
    export(tmp_path / "last.pth", tmp_path / "model.safetensors")
    assert "model.safetensors: xmem (tiny), " in capsys.readouterr().out
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["corrvos"])
    assert about["config"] == {"model": "xmem", "lr": 1e-4} and (about["step"], about["stage"]) == (7, 2)
    assert about["architecture"]["name"] == "xmem" and about["architecture"]["key_dim"] == model.config.key_dim
    back = load_checkpoint(tmp_path / "model.safetensors")
    assert back.config == model.config
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, averaged[name]), name


@pytest.mark.parametrize("name", ["xmem", "stcn"])
def test_released_names(tmp_path: Path, name: str) -> None:
    model = build_model(name, "tiny")
    torch.save({"model": {f"module.{key}": x for key, x in model.state_dict().items()}}, tmp_path / "released.pth")
    export(tmp_path / "released.pth", tmp_path / "model.safetensors")
    back = load_checkpoint(tmp_path / "model.safetensors")
    assert back.config == model.config
    assert all(torch.equal(x, model.state_dict()[key]) for key, x in back.state_dict().items())


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.safetensors").write_text("mine")
    for words, message in (
        (["none.pth", tmp_path / "a.safetensors"], "none.pth does not exist"),
        (["none.pth", tmp_path / "a.pth"], "expected a name that ends in .safetensors"),
        (["none.pth", tmp_path / "there.safetensors"], "there.safetensors is there already"),
    ):
        with pytest.raises(SystemExit) as stop:
            export(*words)
        assert stop.value.code == 2 and message in capsys.readouterr().err
    assert (tmp_path / "there.safetensors").read_text() == "mine"
