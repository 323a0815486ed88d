"""Command lines from frozen dataclasses: parsing, logging, and errors in one line."""

import contextlib
import dataclasses
import difflib
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_type_hints

import tyro

from util.parallel.environment import is_main, rank

C = TypeVar("C")
DEBUG_VARIABLE = "CORRVOS_DEBUG"
_TYRO_OPTIONS = (tyro.conf.OmitArgPrefixes,)
_METAVARS: dict[Any, str] = {Path: "PATH", str: "TEXT", int: "INT", float: "FLOAT"}


def run(
    main: Callable[[C], None],
    config: type[C],
    prog: str,
    description: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """Parse the command line into `config` and call `main` with it, with logging set up.

    Flags are the dataclass's fields (`--mem_every`, also `--mem-every`; booleans `--flip` and `--no_flip`).
    ValueError and OSError (missing file, disk, permission) become one line `error: ...` on stderr and exit status 2;
    Ctrl-C exits with 130. The environment variable CORRVOS_DEBUG=1 adds the traceback. Returns when `main` returns.
    """
    with program():
        main(parse(config, prog, description, arguments))


@contextlib.contextmanager
def program() -> Iterator[None]:
    """Set up logging for the length of a `with` block, and turn errors in it into one line and a status, as `run`."""
    with _logging():
        try:
            yield
        except (ValueError, OSError) as error:
            if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
                traceback.print_exc()
            fail(_describe(error))
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def parse(
    config: type[C],
    prog: str,
    description: str,
    arguments: Sequence[str] | None = None,
    choices: Mapping[str, Iterable[str]] | None = None,
) -> C:
    """Parse `arguments` (default: the process's) into `config`; exits with status 2 and one line if they are wrong.

    `choices` are values of flags that the help is to list; `config` or the program checks them.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed, unknown = tyro.cli(
                helpful(config, choices or {}),
                prog=prog,
                description=_with_examples(description),
                args=words,
                use_underscores=True,
                return_unknown_args=True,
                config=_TYRO_OPTIONS,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        # A group of flags whose class refuses a value has a name that the reader has never seen.
        message = re.sub(r"^Error parsing (?!--)\S+: ", "", _flatten(errors.getvalue()).rstrip("."))
        fail(f"{message}; {prog} --help lists the flags")
    if unknown:
        fail(f"{_unknown(unknown[0], flag_names(config))}; {prog} --help lists the flags")
    return _as(config, parsed)


def helpful(config: type[C], choices: Mapping[str, Iterable[str]]) -> type[C]:
    """Return a subclass whose help is plainer than tyro's: PATH for `{None}|PATH`, and no default that says nothing."""
    members: list[tuple[str, Any, Any]] = []
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        hint, default = get_type_hints(config, include_extras=True)[item.name], item.default
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            group = helpful(_group(item, hint), choices)
            members.append((item.name, group, dataclasses.field(default_factory=group)))
            continue
        options: dict[str, Any] = {"help_behavior_hint": ""} if default is None or default == () else {}
        if item.name in choices:
            options["metavar"] = f"{{{','.join(choices[item.name])}}}"
        elif type(None) in get_args(hint):
            kinds = [kind for kind in get_args(hint) if kind is not type(None)]
            if len(kinds) == 1 and kinds[0] in _METAVARS:
                options["metavar"] = _METAVARS[kinds[0]]
        described = Annotated[hint, tyro.conf.arg(**options)] if options else hint
        members.append((item.name, described, _same_default(item)))
    frozen = config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return dataclasses.make_dataclass(config.__name__, members, bases=(config,), frozen=frozen, kw_only=True)


def _group(item: dataclasses.Field[Any], hint: type[Any]) -> type[Any]:
    """Return the class of a nested configuration: that of its default, which may be one with other defaults."""
    return hint if item.default_factory is dataclasses.MISSING else type(item.default_factory())


def _as(config: type[C], parsed: Any) -> C:
    """Return what was parsed as a configuration of the class that was asked for."""
    hints, values = get_type_hints(config), {}
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        hint, value = hints[item.name], getattr(parsed, item.name)
        values[item.name] = _as(_group(item, hint), value) if dataclasses.is_dataclass(value) else value
    return config(**values)


def _with_examples(description: str) -> str:
    """Return a text whose examples, lines that begin with `python` or `torchrun`, stay lines of their own."""
    indented = re.sub(r"(?m)^(?=python |torchrun )", "    ", description)
    return re.sub(r"(?m)(^    .*)\n\n(?=    )", r"\1\n", indented)


def _same_default(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=item.default_factory)
    return dataclasses.field() if item.default is dataclasses.MISSING else dataclasses.field(default=item.default)


def given(words: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """Return the values of some flags of a command line: those that decide which defaults all other flags have."""
    found = {}
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, _, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in names:
            found[name] = value or following
    return found


def fail(message: str) -> NoReturn:
    """Print `error: message` on stderr, as one line, and exit with status 2."""
    who = "" if is_main() else f"rank {rank()}: "
    sys.stderr.write(f"error: {who}{' '.join(message.split())}\n")
    raise SystemExit(2)


def flag_names(config: type[Any]) -> list[str]:
    """Return the flags of a configuration class, those of nested configurations included, as `--name`."""
    names: list[str] = []
    for name, kind in get_type_hints(config).items():
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            names += flag_names(kind)
        else:
            names += [f"--{name}", f"--no_{name}"] if kind is bool else [f"--{name}"]
    return names


def _unknown(word: str, known: list[str]) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {word!r}"
    flag, names = word.split("=")[0], [name[2:] for name in known]
    near = difflib.get_close_matches(flag.lstrip("-").replace("-", "_"), names, n=1, cutoff=0.0)
    hint = f": the nearest is --{near[0]}" if near else ""
    return f"unknown flag {flag}{hint}"


def _flatten(shown: str) -> str:
    """Join the first paragraph of tyro's message, which has a title, rules and, on UTF-8 terminals, a frame."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    framed = plain.lstrip().startswith("╭")
    lines = [line.strip("│ ") for line in plain.strip().splitlines()]
    body = lines[1:] if framed else lines[2:]  # the title is part of the frame, or stands above a rule
    end = next((i for i, line in enumerate(body) if not line.strip("─-╰╯")), len(body))
    return " ".join(body[:end])


def _describe(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Log to stderr for the length of the run: rank 0 from INFO, the others from WARNING."""
    root, handler = logging.getLogger(), logging.StreamHandler()
    before = root.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(logging.INFO if is_main() else logging.WARNING)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
