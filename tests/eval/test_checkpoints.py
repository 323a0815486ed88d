"""eval.py --checkpoint: formats and places other than a .pth file."""

import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from scripts.export_checkpoint import ExportConfig, main
from tests.support.eval_runs import D17, evaluate, masks, refused, segment

WORDS = [*D17, "--size", "32", "--device", "cpu"]


def test_safetensors_and_the_hub_give_the_same_masks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment(output="plain")
    main(ExportConfig(checkpoint=folder / "tiny.pth", output=folder / "model.safetensors"))
    evaluate(*WORDS, "--checkpoint", "model.safetensors", "--output", "safe")
    hub = types.ModuleType("huggingface_hub")
    vars(hub).update(
        list_repo_files=lambda repo_id, revision: ["model.safetensors"],
        hf_hub_download=lambda repo_id, filename, revision: shutil.copy(folder / filename, folder / "cached"),
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    evaluate(*WORDS, "--checkpoint", "hf://me/tiny")
    expected = masks(Path("plain"))
    for output in ("safe", "results/tiny/d17-val"):
        found = masks(Path(output))
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], mask) for name, mask in expected.items())


def test_a_hub_that_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    line = refused(capsys, *WORDS, "--checkpoint", "hf://me/tiny")
    assert line.startswith("checkpoint hf://me/tiny needs huggingface_hub, which is not installed: pip install")
