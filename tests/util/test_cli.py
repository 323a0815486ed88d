"""The command line: parsing, one-line errors, exit statuses, logging."""

import dataclasses
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from util.cli import flag_names, parse, run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nested:
    mem_every: int | None = None
    """Frames between memory frames."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    nested: Nested
    flip: bool = False
    """Flip."""
    scales: tuple[int, ...] = ()
    split: Literal["val", "test-dev"] = "val"
    checkpoint: Path | None = None


def parsed(*words: str) -> Config:
    return parse(Config, "prog.py", "What it does.", words)


def run_raising(error: BaseException) -> None:
    def main(config: Config) -> None:
        raise error

    run(main, Config, "prog.py", "What it does.", [])


def status_of(call: Callable[[], object]) -> object:
    with pytest.raises(SystemExit) as stop:
        call()
    return stop.value.code


def test_underscores_hyphens_and_nested_fields() -> None:
    expected = Config(nested=Nested(mem_every=3), flip=True, scales=(480, 600), checkpoint=Path("a.pth"))
    assert parsed("--mem_every", "3", "--flip", "--scales", "480", "600", "--checkpoint", "a.pth") == expected
    assert parsed("--mem-every=3", "--flip", "--scales", "480", "600", "--checkpoint=a.pth") == expected
    assert parsed() == Config(nested=Nested()) == parsed("--no_flip") == parsed("--no-flip")


def test_help_shows_underscores_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(lambda: parsed("--help")) == 0
    shown = capsys.readouterr().out
    assert "--mem_every" in shown and "--flip, --no_flip" in shown and "What it does." in shown
    assert "--mem-every" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mem_evry", "3"], "unknown flag --mem_evry: the nearest is --mem_every"),
        (["--mem-evry=3"], "unknown flag --mem-evry: the nearest is --mem_every"),
        (["--no_flop"], "unknown flag --no_flop: the nearest is --no_flip"),
        (["d17"], "unexpected argument 'd17'"),
        (["--split", "tset"], "invalid choice 'tset' for argument '--split'. Expected one of ('val', 'test-dev')"),
        (["--checkpoint"], "Missing value for argument '--checkpoint'. Expected 1 values"),
    ],
)
def test_wrong_words_are_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert status_of(lambda: parsed(*words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {message}; prog.py --help lists the flags\n"


def test_a_value_of_the_wrong_type_names_flag_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(lambda: parsed("--mem_every", "often")) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: Error parsing --mem_every") and "'often'" in shown and shown.count("\n") == 1


def test_flag_names() -> None:
    names = ["--mem_every", "--flip", "--no_flip", "--scales", "--split", "--checkpoint"]
    assert flag_names(Config) == names


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("masks of two\n  sizes"), "masks of two sizes"),
        (FileNotFoundError("data/DAVIS does not exist"), "data/DAVIS does not exist"),
        (OSError(errno.ENOSPC, "No space left on device", "out.png"), "out.png: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (ValueError(), "ValueError"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    monkeypatch.delenv("CORRVOS_DEBUG", raising=False)
    assert status_of(lambda: run_raising(error)) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRVOS_DEBUG", "1")
    assert status_of(lambda: run_raising(ValueError("wrong"))) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and shown.endswith("error: wrong\n")


def test_other_ranks_say_who_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert status_of(lambda: run_raising(ValueError("wrong"))) == 2
    assert capsys.readouterr().err == "error: rank 3: wrong\n"


def test_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(lambda: run_raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(AssertionError):
        run_raising(AssertionError("a mistake in the program"))


@pytest.mark.parametrize(("rank", "shown"), [("0", True), ("1", False)])
def test_only_rank_0_logs_information(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rank: str, shown: bool
) -> None:
    monkeypatch.setenv("RANK", rank)
    before = list(logging.getLogger().handlers)

    def main(config: Config) -> None:
        logging.getLogger("some.module").info("for information")
        logging.getLogger("some.module").warning("for everyone")

    run(main, Config, "prog.py", "", [])
    captured = capsys.readouterr().err
    assert ("for information" in captured) is shown and "for everyone" in captured
    assert logging.getLogger().handlers == before
