"""Tests the tests: breaks the code on purpose, one small change at a time, and counts the changes that tests notice.

python scripts/mutate.py --record /tmp/mutants.json

python scripts/mutate.py --record /tmp/mutants.json --seconds 200 --only memory

The changes are those of tests/mutants.json: a file, a text that occurs once in it, what takes its place, and the tests
that should notice, as words for pytest. They are made in a copy of the checkout. A record is gone on with: what it
knows is not tried again. Exit status: 0 all changes noticed, 1 some survived or could not be tried, 2 nothing could be
done.
"""

import importlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.cli import run
from util.files.atomic import atomic_write

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = ROOT / "tests" / "mutants.json"
_COPIED = ("model", "dataset", "inference", "util", "scripts", "tests", "train.py", "eval.py", "README.md")
_HIDDEN = (".pytest.ini", ".mypy.ini", ".ruff.toml")
# Imported once, before the process forks for each change: that takes longer than most tests.
_SLOW_IMPORTS: tuple[str, ...] = (
    *("torch", "torch.distributed", "torch.utils.data", "torch.utils.tensorboard", "torchvision"),
    *("cv2", "av", "scipy.optimize", "tyro", "PIL.Image", "matplotlib.figure", "pytest"),
)
PASSES = "passes"
_NO_PYTEST = 99
KILLED, SURVIVED, TIMEOUT, INVALID = "killed", "survived", "killed by time", "could not be tried"


@dataclass(frozen=True, kw_only=True)
class MutateConfig:
    """What to try.

    Attributes:
        record: the JSON file in which outcomes are kept; without it nothing is kept.
        seconds: stop after about so many; 0 goes on to the end.
        only: try only changes of files whose path holds one of these words.
        longest: seconds after which tests that still run count as having noticed (an endless loop).
        mutants: the list of changes.
    """

    record: Path | None = None
    seconds: float = 0.0
    only: tuple[str, ...] = ()
    longest: float = 300.0
    mutants: Path = MUTANTS


def main(config: MutateConfig) -> None:
    """Try the changes, print what became of them, and exit with 1 unless all were noticed."""
    mutants = read_mutants(config.mutants, config.only)
    known = json.loads(config.record.read_text()) if config.record is not None and config.record.is_file() else {}
    end = time.monotonic() + (config.seconds or float("inf"))
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="corrvos-mutants-") as place:
        checkout = copy_checkout(ROOT, Path(place))
        for mutant in mutants:
            key = key_of(mutant)
            if known.get(key) in (KILLED, SURVIVED, TIMEOUT):
                continue
            if time.monotonic() > end:
                break
            known[key] = try_mutant(checkout, mutant, known, config.longest)
            logger.info("%s: %s", known[key], key)
            if config.record is not None:
                with atomic_write(config.record) as temporary:
                    temporary.write_text(json.dumps(known, indent=1))
    outcomes = [known.get(key_of(mutant), "not tried yet") for mutant in mutants]
    print(report(mutants, outcomes))
    if any(outcome not in (KILLED, TIMEOUT) for outcome in outcomes):
        raise SystemExit(1)


def read_mutants(path: Path, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the changes of a list, those of some files alone if `only` holds words of their paths."""
    mutants: list[dict[str, Any]] = json.loads(path.read_text())
    return [mutant for mutant in mutants if not only or any(word in mutant["file"] for word in only)]


def key_of(mutant: dict[str, Any]) -> str:
    """Return what a change is called in records: its file, the text, and what takes its place, in one line."""
    old, new = (json.dumps(mutant[name]) for name in ("old", "new"))
    return f"{mutant['file']}: {old} -> {new}"


def copy_checkout(root: Path, place: Path) -> Path:
    """Copy what tests need of a checkout into a folder, and return it."""
    for name in (*_COPIED, *_HIDDEN):
        source = root / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, place / name)
    shutil.copy2(root / "requirements.txt", place)
    return place


def try_mutant(checkout: Path, mutant: dict[str, Any], known: dict[str, str], longest: float) -> str:
    """Return what became of a change; `known` gets whether its tests pass without it, under their names."""
    path = checkout / mutant["file"]
    text = path.read_text() if path.is_file() else ""
    if text.count(mutant["old"]) != 1:
        logger.warning("%s holds %r %d times, expected once", mutant["file"], mutant["old"], text.count(mutant["old"]))
        return INVALID
    tests = " ".join(mutant["tests"])
    if known.get(tests) != PASSES:
        known[tests] = PASSES if run_tests(checkout, mutant["tests"], longest) == 0 else "fails"
    if known[tests] != PASSES:
        logger.warning("%s fails without any change", tests)
        return INVALID
    before = path.stat()
    path.write_text(text.replace(mutant["old"], mutant["new"]))
    # Compiled code is known to be old by whole seconds and by size, which may both be the same.
    os.utime(path, (before.st_atime, before.st_mtime + 10 + len(known)))
    try:
        status = run_tests(checkout, mutant["tests"], longest)
    finally:
        path.write_text(text)
        os.utime(path, (before.st_atime, before.st_mtime))
    return TIMEOUT if status is None else {0: SURVIVED, 1: KILLED, 2: KILLED}.get(status, INVALID)


def run_tests(checkout: Path, tests: Sequence[str], longest: float) -> int | None:
    """Return the status of pytest in a checkout, None if it took too long.

    0: all tests passed; 1: some failed; 2: some could not be imported; else it could not run them.
    """
    child = os.fork()
    if child == 0:
        _be_pytest(checkout, tests)
    end = time.monotonic() + longest
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)  # with what its tests have started
    os.waitpid(child, 0)
    return None


def _be_pytest(checkout: Path, tests: Sequence[str]) -> None:
    """Become a process that runs tests and nothing else."""
    status = _NO_PYTEST
    try:
        os.setsid()
        os.chdir(checkout)
        ours = ("model", "dataset", "inference", "util", "scripts", "tests", "train", "eval")
        for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
            del sys.modules[name]
        sys.path = [str(checkout), *[entry for entry in sys.path if entry not in ("", str(ROOT))]]
        log = os.open(checkout / "pytest.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        logging.getLogger().handlers.clear()
        pytest = importlib.import_module("pytest")
        # Its plugins' modules may have been imported by what was imported above.
        options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        status = int(pytest.main([*options, *tests]))
    finally:
        os._exit(status)


def report(mutants: Sequence[dict[str, Any]], outcomes: Sequence[str]) -> str:
    """Return how many changes came to which end, and those that were not noticed."""
    counts = {kind: outcomes.count(kind) for kind in (KILLED, TIMEOUT, SURVIVED, INVALID, "not tried yet")}
    tried = counts[KILLED] + counts[TIMEOUT] + counts[SURVIVED]
    share = f" ({100 * (tried - counts[SURVIVED]) / tried:.1f} % of those tried noticed)" if tried else ""
    lines = [", ".join(f"{count} {kind}" for kind, count in counts.items() if count) + share]
    for mutant, outcome in zip(mutants, outcomes, strict=True):
        if outcome in (SURVIVED, INVALID):
            lines.append(f"{outcome}: {key_of(mutant)}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, MutateConfig, "mutate.py", __doc__ or "")
