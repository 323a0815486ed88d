from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from util.files.checkpoint import read_checkpoint
from util.files.safetensors_file import write_safetensors

WEIGHTS = {
    "a.weight": torch.arange(6.0).view(2, 3),
    "a.half": torch.ones(3, dtype=torch.bfloat16),
    "n": torch.tensor(3),
}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.safetensors"
    about = {"format": "corrvos", "version": 1, "config": {"model": "xmem", "sizes": [1, 2]}}
    write_safetensors(path, WEIGHTS | {"t": WEIGHTS["a.weight"].T}, about)
    back = read_checkpoint(path)
    assert {key: value for key, value in back.items() if key != "network"} == about
    assert back["network"].keys() == {*WEIGHTS, "t"}
    for name, tensor in WEIGHTS.items():
        assert torch.equal(back["network"][name], tensor) and back["network"][name].dtype == tensor.dtype
    assert torch.equal(back["network"]["t"], WEIGHTS["a.weight"].T)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_files_of_others_are_tensors_by_name(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.safetensors", metadata={"format": "pt"})
    assert read_checkpoint(tmp_path / "a.safetensors").keys() == WEIGHTS.keys()
    (tmp_path / "a.safetensors").rename(tmp_path / "a.pth")  # its start says what it is
    assert read_checkpoint(tmp_path / "a.pth").keys() == WEIGHTS.keys()


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, WEIGHTS, {})
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40], b"\x05\0\0\0\0\0\0\0{}abc", b"hello world"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.safetensors is no safetensors file, or a damaged one \(.*\)\."):
            read_checkpoint(path)
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(ValueError, match=r"is damaged: its tensors do not match their checksum"):
        read_checkpoint(path)


def test_configurations_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its configuration is no JSON"):
        write_safetensors(tmp_path / "a.safetensors", WEIGHTS, {"path": tmp_path})
    save_file(WEIGHTS, tmp_path / "a.safetensors", metadata={"corrvos": "[1"})
    with pytest.raises(ValueError, match="its metadata 'corrvos' is no JSON object"):
        read_checkpoint(tmp_path / "a.safetensors")
