"""From the words of a command line to the stages of a run, each with its resolved configuration."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from util import cli
from util.config.mixtures import with_mixture
from util.config.plain import plain, with_defaults
from util.config.presets import PRESETS, check_chain, preset
from util.config.train import TrainConfig, default_folder
from util.run.folder import LAST, find_run, read_record

logger = logging.getLogger(__name__)

# The packaged network (`model.box`) by its name as --checkpoint, and its size.
_BOX, _BOX_SIZE = "box", "small"
_USUAL = {"model": "xmem", "size": "base", "stage": "2"}  # what is trained unless the command line says otherwise


_CHOICES = {"model": tuple(PRESETS), "size": tuple({size: None for sizes in PRESETS.values() for size in sizes})}


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run of one or several stages.

    Attributes:
        folder: of the run.
        stages: the configuration of each; `output` is the stage's own folder, `checkpoint` what it starts from.
        resumed: whether it goes on with what `folder` holds.
        changed: settings that a resumed run takes up anew, such as "iterations 100 -> 200".
        automatic: whether nobody has said that there is something to go on with, so that a run may be over.
    """

    folder: Path
    stages: tuple[TrainConfig, ...]
    resumed: bool = False
    changed: tuple[str, ...] = ()
    automatic: bool = False


def plan_run(words: Sequence[str], prog: str, description: str) -> RunPlan:
    """Resolve a command line: flags replace the values of each stage's preset, or of the run that is resumed.

    Raises:
        ValueError: no such preset, stages in the wrong order, or a run that does not fit the flags.
        FileNotFoundError: there is no run to resume.
        SystemExit: for flags that cannot be parsed, after a line on stderr, and for --help.
    """
    given = cli.given(words, (*_USUAL, "output", "resume", "data", "checkpoint"))
    if given.get("checkpoint") == _BOX:
        given = {"size": _BOX_SIZE, **given}
    model, size, chain = (given.get(name, usual) for name, usual in _USUAL.items())
    output = Path(given["output"]) if "output" in given else None
    default = default_folder(model, size, chain)
    folder = None
    if "resume" in given:
        folder = find_run(given["resume"], output or (default if given["resume"] == "auto" else None))
    if folder is not None:
        before = read_record(folder)
        _check_same(folder, before, given)
        stages = [_parse(stage, words, prog, description) for stage in before]
        stages = [replace(new, output=old.output) for new, old in zip(stages, before, strict=True)]
        return RunPlan(
            folder=folder,
            stages=_place(stages, folder),
            resumed=True,
            changed=tuple(_changes(before, stages)),
            automatic=given["resume"] == "auto",
        )
    check_chain(chain)
    usual = [with_mixture(preset(model, size, stage), given.get("data", "")) for stage in chain]
    stages = [_parse(stage, words, prog, description) for stage in usual]
    return RunPlan(folder=output or default, stages=_place(stages, output or default))


def _parse(defaults: TrainConfig, words: Sequence[str], prog: str, description: str) -> TrainConfig:
    parsed = cli.parse(with_defaults(defaults), prog, description, words, _CHOICES)
    return replace(parsed, stage=defaults.stage, resume=None)


def _place(stages: Sequence[TrainConfig], folder: Path) -> tuple[TrainConfig, ...]:
    """Give each stage its folder, and each but the first the weights of the one before."""
    if len(stages) == 1:
        return (replace(stages[0], output=folder),)
    placed: list[TrainConfig] = []
    for stage in stages:
        start = placed[-1].folder() / LAST if placed else stage.checkpoint
        placed.append(replace(stage, output=folder / f"stage{stage.stage}", checkpoint=start))
    return tuple(placed)


def _check_same(folder: Path, before: Sequence[TrainConfig], given: dict[str, str]) -> None:
    run = {"model": before[0].model, "size": before[0].size, "stage": "".join(stage.stage for stage in before)}
    for name, value in run.items():
        if given.get(name, value) != value:
            raise ValueError(
                f"--resume {folder}: that run is of {name} {value}, received --{name} {given[name]}. Leave the flag "
                f"out, or start another run with --checkpoint {folder}/{LAST}."
            )


def _changes(before: Sequence[TrainConfig], now: Sequence[TrainConfig]) -> list[str]:
    """Return what differs, once for each setting."""
    found: dict[str, None] = {}
    for old, new in zip(before, now, strict=True):
        was, given = _flat(plain(old)), _flat(plain(new))
        for name in given:
            if given[name] != was.get(name) and name not in ("output", "checkpoint", "overwrite", "print_config"):
                found[f"{name} {was.get(name)} -> {given[name]}"] = None
    return list(found)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat
