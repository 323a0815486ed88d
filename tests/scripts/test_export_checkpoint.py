import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from model.build import build_model
from model.weights import load_checkpoint
from scripts.export_checkpoint import ExportConfig, main
from util.cli import run
from util.files.checkpoint import read_checkpoint, save_checkpoint


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
        (["none.pth", tmp_path / "a.bin"], "expected a name that ends in .safetensors or .pth"),
        (["none.pth", tmp_path / "there.safetensors"], "there.safetensors is there already"),
    ):
        with pytest.raises(SystemExit) as stop:
            export(*words)
        assert stop.value.code == 2 and message in capsys.readouterr().err
    assert (tmp_path / "there.safetensors").read_text() == "mine"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint as train.py writes it, whose averaged weights differ from the network's."""
    torch.manual_seed(0)
    state = build_model("xmem", "tiny").state_dict()
    averaged = {name: value + 0.25 if value.is_floating_point() else value for name, value in state.items()}
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"format": "corrvos", "version": 1, "network": state, "ema": averaged, "optimizer": {}})
    return path


def test_the_averaged_weights_alone_are_kept(checkpoint: Path, tmp_path: Path) -> None:
    main(ExportConfig(checkpoint=checkpoint, output=tmp_path / "new" / "weights.pth"))
    assert list(read_checkpoint(tmp_path / "new" / "weights.pth")) == ["network"]
    exported = load_checkpoint(tmp_path / "new" / "weights.pth").state_dict()
    for name, value in read_checkpoint(checkpoint)["ema"].items():
        assert torch.equal(exported[name], value)


def test_half_weights_are_read_as_fp32_and_are_half_as_large(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, half = tmp_path / "whole.pth", tmp_path / "half.pth"
    main(ExportConfig(checkpoint=checkpoint, output=whole))
    main(ExportConfig(checkpoint=checkpoint, output=half, half=True))
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{half}: xmem (tiny), ")
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    network = load_checkpoint(half)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    for name, value in load_checkpoint(whole).state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=2**-11, atol=1e-7)


def test_weights_too_large_for_half_precision_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    saved = read_checkpoint(checkpoint)
    saved["ema"]["key_encoder.conv1.weight"][0, 0, 0, 0] = 1e5
    save_checkpoint(checkpoint, saved)
    with pytest.raises(ValueError, match=r"last.pth: key_encoder.conv1.weight holds values beyond 65504"):
        main(ExportConfig(checkpoint=checkpoint, output=tmp_path / "half.pth", half=True))
    assert not (tmp_path / "half.pth").exists()
