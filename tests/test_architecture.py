"""Dependencies point one way, importing changes nothing, nothing grows too large, and the tests mirror the code."""

import ast
import subprocess
import sys
from functools import cache
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
PROGRAMS = [ROOT / "train.py", ROOT / "eval.py", *sorted((ROOT / "scripts").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").glob("**/*.py"))
MODULE, FUNCTION, PARAMETERS = 300, 60, 7  # the most lines, and parameters beside configuration objects

# Each entry leaves with the next change of its module.
TOO_LONG: set[str] = {
    "tests/inference/test_twoframe_segmenter.py",
    "tests/inference/test_report.py",
    "tests/scripts/test_ablate.py",
    "tests/dataset/train/test_render_paired.py",
}
TOO_MANY_PARAMETERS: set[str] = {
    "dataset/train/render.py: render_clip",
    "inference/report.py: score_folders",
    "inference/propagate.py: segment_video",
}


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


def relative(path: Path) -> str:
    """Path in the repository."""
    return path.relative_to(ROOT).as_posix()


@cache
def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a file, the nested ones and methods too."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Parameters beside configuration objects."""
    known = function.args
    return [
        parameter.arg
        for parameter in (*known.posonlyargs, *known.args, *known.kwonlyargs)
        if parameter.arg not in ("self", "cls")
        and not (parameter.annotation and "Config" in ast.unparse(parameter.annotation))
    ]


@pytest.mark.parametrize("path", [*SOURCES, *PROGRAMS, *TESTS], ids=relative)
def test_modules_and_functions_are_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MODULE or relative(path) in TOO_LONG, f"{lines} lines"
    for function in functions(path):
        assert function.end_lineno is not None
        length = function.end_lineno - function.lineno + 1
        assert length <= FUNCTION, f"{function.name}: {length} lines"
        if f"{relative(path)}: {function.name}" not in TOO_MANY_PARAMETERS:
            assert len(parameters(function)) <= PARAMETERS, f"{function.name}: {', '.join(parameters(function))}"


def mirror(path: Path) -> Path:
    """Where the tests of a module lie."""
    return ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "__init__.py"], ids=relative)
def test_every_module_has_tests_of_its_name(path: Path) -> None:
    assert mirror(path).is_file(), f"expected {relative(mirror(path))}"


def stale(long_modules: set[str], many_parameters: set[str]) -> list[str]:
    """Entries of TOO_LONG and TOO_MANY_PARAMETERS that no longer apply."""
    too_long = {relative(path) for path in (*SOURCES, *PROGRAMS, *TESTS) if len(path.read_text().splitlines()) > MODULE}
    too_many = {
        f"{relative(path)}: {function.name}"
        for path in (*SOURCES, *PROGRAMS, *TESTS)
        for function in functions(path)
        if len(parameters(function)) > PARAMETERS
    }
    return sorted((long_modules - too_long) | (many_parameters - too_many))


def test_exceptions_leave_when_they_no_longer_apply() -> None:
    found = stale(TOO_LONG, TOO_MANY_PARAMETERS)
    assert not found, f"stale entry, remove it from its list: {', '.join(found)}"


def test_stale_exceptions_are_found() -> None:
    assert stale({"util/cli.py"}, {"util/cli.py: run", "util/gone.py: f"}) == [
        "util/cli.py",
        "util/cli.py: run",
        "util/gone.py: f",
    ]


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_tests_share_code_by_way_of_support_alone(path: Path) -> None:
    found = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests")
    }
    assert not {name for name in found if not name.startswith("tests.support")}
