"""The folder in which the tests of eval.py work."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.eval_runs import LENGTHS
from tests.support.toy_videos import toy_checkpoint, write_davis


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder that holds tiny.pth and the data set `davis`, in one thread, like torchrun's processes."""
    toy_checkpoint(tmp_path / "tiny.pth")
    write_davis(tmp_path / "davis", LENGTHS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORRVOS_DEBUG", raising=False)
    monkeypatch.setitem(sys.modules, "davis2017", None)  # not installed, whatever this machine has
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)
