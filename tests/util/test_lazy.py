"""Names that a package imports when they are asked for."""

import subprocess
import sys

import pytest

import inference
import model
from tests.support.paths import ROOT
from util.lazy import imported_when_asked


@pytest.mark.parametrize("package", [inference, model])
def test_every_public_name_is_there(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_name_comes_from_its_module() -> None:
    get = imported_when_asked("util", {"fail": "cli"})
    assert get("fail").__module__ == "util.cli"


@pytest.mark.parametrize("modules", ["inference.eval_config", "util.config.plan", "inference, model"])
def test_command_lines_are_read_without_pytorch(modules: str) -> None:
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
