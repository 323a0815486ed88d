"""Checkpoints on the hub, with a stand-in for huggingface_hub."""

import sys
import types
from pathlib import Path

import pytest
import torch

from util.files.checkpoint import read_checkpoint, save_checkpoint
from util.files.hub import local_checkpoint


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A hub whose files lie in a folder; `asked` records the requests."""
    state = types.SimpleNamespace(files=["README.md", "model.bin", "model.safetensors"], asked=[], error=None)

    def list_repo_files(repo_id: str, revision: str | None) -> list[str]:
        state.asked.append(("list", repo_id, revision))
        if state.error:
            raise state.error
        return state.files

    def hf_hub_download(repo_id: str, filename: str, revision: str | None) -> str:
        state.asked.append((filename, repo_id, revision))
        save_checkpoint(tmp_path / "cache" / filename, {"w": torch.ones(2)})
        return str(tmp_path / "cache" / filename)

    module = types.ModuleType("huggingface_hub")
    vars(module).update(list_repo_files=list_repo_files, hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return state


def test_paths_stay_as_they_are(tmp_path: Path) -> None:
    assert local_checkpoint(tmp_path / "a.pth") == tmp_path / "a.pth"


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("hf://me/xmem", ("model.safetensors", "me/xmem", None)),
        (Path("hf://me/xmem"), ("model.safetensors", "me/xmem", None)),
        ("hf://me/xmem@v1.0", ("model.safetensors", "me/xmem", "v1.0")),
        ("hf://me/xmem/deep/a.pth", ("deep/a.pth", "me/xmem", None)),
        ("hf://me/xmem@main/a.pth", ("a.pth", "me/xmem", "main")),
    ],
)
def test_addresses(hub: types.SimpleNamespace, tmp_path: Path, address: str | Path, asked: tuple) -> None:
    assert local_checkpoint(address) == tmp_path / "cache" / asked[0]
    assert hub.asked[-1] == asked and len(hub.asked) == (1 if "a.pth" in str(address) else 2)


def test_the_only_file_with_weights(hub: types.SimpleNamespace) -> None:
    hub.files = ["config.json", "weights/XMem.pth"]
    assert list(read_checkpoint("hf://me/xmem")) == ["w"]
    hub.files = ["a.pth", "b.pth"]
    with pytest.raises(ValueError, match=r"hf://me/xmem holds 2 files with weights \(a.pth, b.pth\): add /FILE"):
        local_checkpoint("hf://me/xmem")
    hub.files = ["README.md"]
    with pytest.raises(ValueError, match=r"holds 0 files with weights \(none\)"):
        local_checkpoint("hf://me/xmem")


def test_what_cannot_be_had(hub: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (RuntimeError("401 Client Error\nRepository Not Found"), OSError("no network")):
        hub.error = error
        with pytest.raises(ValueError, match=r"hf://me/none cannot be had from the hub \((401|no network)[^\n]*\)$"):
            local_checkpoint("hf://me/none")
    for address in ("hf://me", "hf://me/", "hf:me/xmem", "hf://me/a b"):
        with pytest.raises(ValueError, match="expected hf://OWNER/NAME, with /FILE or @REVISION"):
            local_checkpoint(address)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="hf://me/xmem needs huggingface_hub, which is not installed: pip install"):
        local_checkpoint("hf://me/xmem")
