"""The program that tests the tests, on a checkout of one function; and that its list fits the code."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import mutate
from scripts.mutate import MUTANTS, MutateConfig, key_of, main, read_mutants
from tests.support.paths import ROOT


def test_the_list_fits_the_code() -> None:
    mutants = read_mutants(MUTANTS)
    assert len({key_of(mutant) for mutant in mutants}) == len(mutants)
    assert all(mutant["new"] != mutant["old"] and mutant["tests"] for mutant in mutants)
    # A line that was rewritten since is no fault, as long as enough are left.
    fit = [mutant for mutant in mutants if (ROOT / mutant["file"]).read_text().count(mutant["old"]) == 1]
    assert len(fit) >= 150, [key_of(mutant) for mutant in mutants if mutant not in fit]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a function that adds, and one test of it."""
    root = tmp_path / "checkout"
    (root / "util").mkdir(parents=True)
    (root / "tests").mkdir()
    for name in ("requirements.txt", "util/__init__.py", "tests/__init__.py"):
        (root / name).touch()
    (root / "util" / "plus.py").write_text("def plus(a, b):\n    c = a + b\n    return c + 0\n")
    test = "from util.plus import plus\n\n\ndef test_plus():\n    assert plus(2, 3) == 5\n"
    (root / "tests" / "test_plus.py").write_text(test)
    (root / "tests" / "test_bad.py").write_text("def test_bad():\n    assert False\n")
    monkeypatch.setattr(mutate, "ROOT", root)
    monkeypatch.setattr(mutate, "_SLOW_IMPORTS", ("pytest",))
    return root


def changes(checkout: Path, *pairs: tuple[str, str], tests: str = "tests/test_plus.py") -> Path:
    mutants: list[dict[str, Any]] = [
        {"file": "util/plus.py", "old": old, "new": new, "tests": [tests]} for old, new in pairs
    ]
    path = checkout.parent / "mutants.json"
    path.write_text(json.dumps(mutants))
    return path


def test_changes_are_noticed_or_not(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = checkout.parent / "record.json"
    before = (checkout / "util" / "plus.py").read_text()
    listed = changes(checkout, ("a + b", "a - b"), ("c + 0", "c - 0"), ("a * b", "a"), ("    c =", "    while 1: c ="))
    config = MutateConfig(mutants=listed, record=record, longest=5.0)
    with pytest.raises(SystemExit) as stop:
        main(config)
    assert stop.value.code == 1
    assert capsys.readouterr().out == (
        "1 killed, 1 killed by time, 1 survived, 1 could not be tried (66.7 % of those tried noticed)\n"
        'survived: util/plus.py: "c + 0" -> "c - 0"\n'
        'could not be tried: util/plus.py: "a * b" -> "a"\n'
    )
    assert (checkout / "util" / "plus.py").read_text() == before
    known = json.loads(record.read_text())
    assert known['util/plus.py: "a + b" -> "a - b"'] == "killed" and known["tests/test_plus.py"] == "passes"
    known['util/plus.py: "c + 0" -> "c - 0"'] = "killed"  # what a record knows is not tried again
    record.write_text(json.dumps(known))
    main(MutateConfig(mutants=changes(checkout, ("a + b", "a - b"), ("c + 0", "c - 0")), record=record))
    assert capsys.readouterr().out == "2 killed (100.0 % of those tried noticed)\n"


def test_tests_that_fail_anyway_notice_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(MutateConfig(mutants=changes(checkout, ("a + b", "a - b"), tests="tests/test_bad.py")))
    assert capsys.readouterr().out.startswith("1 could not be tried\n")
    main(MutateConfig(mutants=changes(checkout, ("a + b", "a - b")), only=("nothing",)))
    assert capsys.readouterr().out.strip() == ""
