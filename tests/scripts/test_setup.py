"""scripts/setup.sh with stand-ins for Python: what is installed when, and what is said when it cannot be."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SETUP = ROOT / "scripts" / "setup.sh"
BASH = shutil.which("bash") or "/bin/bash"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but setup.sh and requirements, and an empty folder of programs."""
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, root / "scripts")
    (root / "requirements.txt").write_text("numpy\n")
    (root / "more.txt").write_text("pytest\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "cat", "mkdir"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return root


def stand_in(path: Path, cases: str = "", version: str = "Python 3.12.0") -> Path:
    """A program that plays Python: `cases` first, then its version, then this interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'#!{BASH}\ncase "$*" in\n{cases}\n--version) echo "{version}" ;;\n*) exec {sys.executable} "$@" ;;\nesac\n'
    )
    path.chmod(0o755)
    return path


def set_up(checkout: Path, files: str = "requirements.txt", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [BASH, "-c", f'set -euo pipefail; source "$1"; set_up {files}; echo "$PYTHON"; pwd', "-"]
    variables = {"PATH": str(checkout.parent / "bin"), "HOME": "/nonexistent"} | environment
    setup = checkout / "scripts" / "setup.sh"
    return subprocess.run([*command, setup], env=variables, cwd="/", capture_output=True, text=True, timeout=60)


def test_packages_are_installed_once_and_again_when_requirements_change(checkout: Path, tmp_path: Path) -> None:
    environment, log = tmp_path / "venv", tmp_path / "log"
    cases = f'*"pip install"*) echo "$*" >>{log} ;;\n*sys.prefix*) echo {environment} ;;'
    python = stand_in(environment / "bin" / "python", cases)
    log.touch()

    def installed(files: str) -> list[str]:
        log.write_text("")
        result = set_up(checkout, files, VIRTUAL_ENV=str(environment))
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-2:] == [str(python), str(checkout)]
        return [line.partition("--quiet ")[2] for line in log.read_text().splitlines()]

    assert installed("requirements.txt") == ["-r requirements.txt"]
    assert installed("requirements.txt") == []
    assert installed("requirements.txt more.txt") == ["-r more.txt"]
    (checkout / "requirements.txt").write_text("numpy>=2\n")
    assert installed("requirements.txt more.txt") == ["-r requirements.txt"]
    assert installed("requirements.txt more.txt") == []


def test_a_failed_installation_is_tried_again(checkout: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    cases = f'*"pip install"*) exit 1 ;;\n*sys.prefix*) echo {environment} ;;'
    stand_in(environment / "bin" / "python", cases)
    for _ in range(2):
        result = set_up(checkout, VIRTUAL_ENV=str(environment))
        assert result.returncode == 1
        assert result.stderr == "error: the packages could not be installed; pip's message is above\n"


def test_an_environment_is_made_where_none_is_active(checkout: Path, tmp_path: Path) -> None:
    made = checkout / ".venv" / "bin"
    log = tmp_path / "log"
    inner = f'*"pip install"*) echo installed >>{log} ;;\n*sys.prefix*) echo {checkout / ".venv"} ;;'
    template = stand_in(tmp_path / "template", inner)
    copy = (
        f'*"-m venv"*) mkdir -p {made} && cat {template} >{made}/python && {shutil.which("chmod")} +x {made}/python ;;'
    )
    stand_in(tmp_path / "bin" / "python3", copy)
    for _ in range(2):  # the second time everything is there
        result = set_up(checkout)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-2:] == [str(made / "python"), str(checkout)]
    assert log.read_text() == "installed\n"


def test_an_old_python_is_named(checkout: Path, tmp_path: Path) -> None:
    old = "*version_info*) exit 1 ;;"
    stand_in(tmp_path / "bin" / "python3", old, "Python 3.8.1")
    result = set_up(checkout)
    assert result.returncode == 1
    assert result.stderr.startswith("error: Python 3.10 or newer is needed, found Python 3.8.1: install one")
    stand_in(tmp_path / "venv" / "bin" / "python", old, "Python 3.8.1")
    result = set_up(checkout, VIRTUAL_ENV=str(tmp_path / "venv"))
    assert result.returncode == 1
    assert f"the active environment {tmp_path / 'venv'} has Python 3.8.1, Python 3.10 or newer" in result.stderr


def test_missing_parts_are_named(checkout: Path, tmp_path: Path) -> None:
    result = set_up(checkout)
    assert result.returncode == 1 and "Python 3.10 or newer is needed, found none" in result.stderr
    stand_in(tmp_path / "bin" / "python3", '*"-m venv"*) exit 1 ;;')
    result = set_up(checkout)
    assert result.returncode == 1
    assert "cannot make a virtual environment: install its venv module" in result.stderr
    result = set_up(checkout, VIRTUAL_ENV="/nonexistent/venv")
    assert result.returncode == 1
    assert "error: the active environment /nonexistent/venv has no bin/python" in result.stderr
    stand_in(tmp_path / "venv" / "bin" / "python", "*pip*) exit 1 ;;")
    result = set_up(checkout, VIRTUAL_ENV=str(tmp_path / "venv"))
    assert result.returncode == 1 and "has no pip: install pip into it or deactivate it" in result.stderr
