"""Dependencies point one way, and importing a module changes nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "util": {"util"},
    "model": {"util", "model"},
    "dataset": {"util", "dataset"},
    "inference": {"util", "model", "dataset", "inference"},
}
OURS = {*ALLOWED, "train", "eval", "scripts", "tests"}
SOURCES = [path for package in ALLOWED for path in sorted((ROOT / package).glob("**/*.py"))]


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; import from the repository root"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_point_one_way(path: Path) -> None:
    wrong = (imported(path) & OURS) - ALLOWED[path.relative_to(ROOT).parts[0]]
    assert not wrong, f"{path.relative_to(ROOT)} must not import {sorted(wrong)}"


def test_imports_have_no_side_effect(tmp_path: Path) -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES] + ["train", "eval"]
    program = f"""
import importlib, logging, random, sys
sys.path.insert(0, {str(ROOT)!r})
import cv2, numpy, torch
state = lambda: (torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist(),
                 torch.get_num_threads(), cv2.getNumThreads(), torch.is_grad_enabled(), torch.get_default_dtype(),
                 logging.root.level, len(logging.root.handlers))
before = state()
for name in {modules!r}:
    importlib.import_module(name)
    assert state() == before, name
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
