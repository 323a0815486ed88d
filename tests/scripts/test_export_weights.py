"""Checkpoints stripped to weights: what stays, what becomes half, what is refused."""

from pathlib import Path

import pytest
import torch

from model import build_model, load_checkpoint
from scripts.export_weights import ExportConfig, main
from util.files.checkpoint import read_checkpoint, save_checkpoint


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
