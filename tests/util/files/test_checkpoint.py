"""Checkpoint files: what is written comes back, and every wrong file is named for what it is."""

import argparse
import errno
import resource
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.paths import ROOT
from util.files.checkpoint import read_checkpoint, save_checkpoint
from util.files.web_page import looks_like_html


def saved(path: Path, content: object, **options: bool) -> Path:
    torch.save(content, path, **options)
    return path


def raw(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def message(path: Path) -> str:
    """The error's text, which must be one line that names the file."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_checkpoint(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    return text.replace(str(path), "FILE")


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    payload = {
        "network": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": 7,
        "config": {"lr": 1e-4, "name": "xmem", "sizes": [1, 2], "pair": (3, None), "on": True},
        "shape": torch.Size([2, 3]),
    }
    path = tmp_path / "deep" / "last.pth"
    save_checkpoint(path, payload)
    back = read_checkpoint(path)
    assert type(back["network"]) is dict
    assert torch.equal(back["network"]["weight"], model.weight)
    assert type(back["network"]["weight"]) is torch.Tensor and not back["network"]["weight"].requires_grad
    assert back["config"] == payload["config"] and back["step"] == 7 and back["shape"] == (2, 3)
    optimizer.load_state_dict(back["optimizer"])
    assert [file.name for file in path.parent.iterdir()] == ["last.pth"]


def test_a_view_is_saved_without_what_surrounds_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", {"row": torch.zeros(1000, 1000)[3]})
    assert (tmp_path / "a.pth").stat().st_size < 10_000
    assert read_checkpoint(tmp_path / "a.pth")["row"].shape == (1000,)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"lr": np.float64(1.0)}, r"cannot save payload\['lr'\]: it is a numpy.float64. Expected a tensor, number"),
        ({"a": [1, {"b": Path("x")}]}, r"cannot save payload\['a'\]\[1\]\['b'\]: it is a pathlib"),
        ({"net": nn.Linear(1, 1)}, r"cannot save payload\['net'\]: it is a torch.nn.modules.linear.Linear"),
        ({"a": {(1, 2): 3}}, r"cannot save payload\['a'\]: key \(1, 2\) is a tuple. Expected a str or an int"),
    ],
)
def test_only_plain_things_are_saved(tmp_path: Path, payload: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        save_checkpoint(tmp_path / "a.pth", payload)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"step": 1})
    program = (
        "import resource, sys, torch; from util.files.checkpoint import save_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "try: save_checkpoint(sys.argv[1], {'step': 2, 'x': torch.zeros(1_000_000)})\n"
        "except OSError as error: print(error.errno, error.strerror)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    root = ROOT
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.startswith(f"{errno.EFBIG} cannot write {path}: ")
    assert read_checkpoint(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000  # ours is untouched


def test_missing_folder_and_empty(tmp_path: Path) -> None:
    assert message(tmp_path / "none.pth").startswith("checkpoint FILE does not exist. Check the path")
    assert message(tmp_path) == "checkpoint FILE is a folder. Expected a file: name one inside it"
    assert message(raw(tmp_path / "a.pth", b"")) == "checkpoint FILE is empty (0 bytes). Download or copy it again"


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html><head><title>Quota exceeded</title>",
        b"\xef\xbb\xbf\n <HTML lang=en>",
        b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">\n<html>',
    ],
)
def test_web_pages(tmp_path: Path, page: bytes) -> None:
    assert looks_like_html(page)
    assert message(raw(tmp_path / "a.pth", page)).startswith("checkpoint FILE is an HTML page: the file host answered")


def test_truncated(tmp_path: Path) -> None:
    for name, zipped in (("new", True), ("old", False)):
        path = saved(tmp_path / name, {"a": torch.zeros(5000)}, _use_new_zipfile_serialization=zipped)
        content = path.read_bytes()
        for size in (len(content) // 2, len(content) - 30, 60):
            raw(path, content[:size])
            expected = f"checkpoint FILE is truncated or damaged ({size:,} bytes are there). Download or copy it again"
            assert message(path) == expected


def test_python_objects_are_refused(tmp_path: Path) -> None:
    module = message(saved(tmp_path / "module.pth", nn.Linear(2, 2)))
    assert module.startswith("checkpoint FILE holds Python objects (torch.nn.modules.linear.Linear), not only tensors")
    assert "torch.load(FILE, weights_only=False).state_dict()" in module
    options = {"network": {}, "options": argparse.Namespace(lr=1)}
    assert "holds Python objects (argparse.Namespace)" in message(saved(tmp_path / "options.pth", options))


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer PyTorch deprecates TorchScript, people still have such files
        torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    assert message(tmp_path / "script.pt").startswith("checkpoint FILE is a TorchScript archive")


def test_other_files(tmp_path: Path) -> None:
    assert message(raw(tmp_path / "a.pth", b"\x89PNG\r\n\x1a\n" + bytes(99))).endswith("checkpoint but a PNG image")
    assert "starts with b'hello wo'" in message(raw(tmp_path / "b.pth", b"hello world"))
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    assert "a Git LFS pointer: fetch" in message(raw(tmp_path / "c.pth", pointer))
    with zipfile.ZipFile(tmp_path / "d.pth", "w") as archive:
        archive.writestr("readme.txt", "x")
    assert "is a zip archive but no PyTorch checkpoint" in message(tmp_path / "d.pth")
    assert "checkpoint FILE holds a Tensor. Expected a dictionary" in message(saved(tmp_path / "e.pth", torch.ones(2)))
