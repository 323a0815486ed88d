"""What lies in the folder of a run: its configuration, its checkpoints, and the finding of both.

The folder of a run holds `run.json`: the configuration of each stage, and what the run was started with. The folder of
a stage, which is that of the run or, in a chain, stage0, stage3 and so on in it, holds `config.json`, the metrics, the
newest checkpoints such as `step-0005000.pth`, `last.pth`, a second name of the newest, and `best.pth`, the weights with
the best validation.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from util.config.plain import from_plain, plain
from util.config.train import RUNS, TrainConfig
from util.files.atomic import atomic_write, remove

logger = logging.getLogger(__name__)

LAST, BEST, RECORD, CONFIG = "last.pth", "best.pth", "run.json", "config.json"
_STEP = re.compile(r"step-(\d{7,})\.pth")
# What a stage writes: removed when its run is replaced.
_WRITTEN = (LAST, BEST, CONFIG, "metrics.jsonl", "step-*.pth", "events.out.tfevents.*")
# The temporary names of those, and of validation's folder, as `temporary_sibling` makes them.
_LEFT = re.compile(r"\.(last|best|config|metrics|run|validation|step-\d+)\.\d+-[0-9a-f]{8}\.tmp(\.\w+)?")


def save_step(folder: Path, payload: Mapping[str, Any], step: int, keep: int) -> Path:
    """Write the checkpoint of a step, make it `last.pth`, and remove all but the newest `keep` (0 keeps all).

    Killed at any moment, this leaves a newest checkpoint that is whole: the previous ones go last.
    Raises OSError when it cannot be written (disk full); the previous ones are then all there.
    """
    path = folder / f"step-{step:07d}.pth"
    from util.files.checkpoint import save_checkpoint  # PyTorch, which reading a command line has no use for

    save_checkpoint(path, payload)
    with atomic_write(folder / LAST) as temporary:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
    for old in checkpoints(folder)[:-keep] if keep else []:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a stage's folder, by step."""
    found = {int(match[1]): path for path in folder.glob("step-*.pth") if (match := _STEP.fullmatch(path.name))}
    return [found[step] for step in sorted(found)]


def read_newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint of a stage that can be read, and what it holds; None if there is none.

    One that is damaged (by a disk; a killed run leaves none) is named in a warning and passed over.
    Raises ValueError when there are some, and all are damaged.
    """
    from util.files.checkpoint import read_checkpoint  # as in `save_step`

    last = folder / LAST
    paths = checkpoints(folder)[::-1] or ([last] if last.is_file() else [])
    fault = None
    for path in paths:
        try:
            return path, read_checkpoint(path)
        except ValueError as error:
            logger.warning("%s; trying the one before", error)
            fault = error
    if fault is not None:
        raise ValueError(f"no checkpoint in {folder} can be read: {fault}") from fault
    return None


def open_stage(folder: Path, config: TrainConfig) -> None:
    """Make the folder of a stage and write its configuration there."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / CONFIG, plain(config))


def clean_stage(folder: Path) -> None:
    """Remove what killed savings and validations of a run left in a stage's folder; the run's own process may do so."""
    for left in folder.glob(".*.tmp*"):
        if _LEFT.fullmatch(left.name):
            remove(left)


def start_run(folder: Path, stages: Sequence[TrainConfig], overwrite: bool) -> None:
    """Prepare a folder for a new run: only what the record of another run shows to be a run's files is removed.

    Raises ValueError if the folder holds another run's checkpoints and must not lose them, or files with the names of
    a run's, but no run's record.
    """
    folders = {folder, *(stage.folder() for stage in stages), *folder.glob("stage[0-9]")}
    old = [path for place in folders for pattern in _WRITTEN for path in place.glob(pattern)]
    replaces = _has_record(folder)
    if not replaces:
        foreign = sorted(path for path in [folder / RECORD, *old] if path.exists())
        if foreign:
            raise ValueError(
                f"{folder} holds {foreign[0].relative_to(folder)}, but no record of a run ({RECORD}): a run would "
                "replace what is not its own. Choose another --output, or move that away."
            )
    elif not overwrite and any((place / LAST).exists() or checkpoints(place) for place in folders):
        raise ValueError(
            f"{folder} holds the weights of another run: continue it with --resume {folder}, choose another --output, "
            "or replace it with --overwrite."
        )
    # The record first: killed in between, the folder is still known to be a run's.
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / RECORD, {"stages": [plain(stage) for stage in stages], "starts": []})
    for path in old:
        path.unlink(missing_ok=True)
    for place in folders if replaces else ():
        clean_stage(place)


def _has_record(folder: Path) -> bool:
    try:
        record = json.loads((folder / RECORD).read_text())
        return isinstance(record["stages"], list) and isinstance(record["starts"], list)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_record(folder: Path, stages: Sequence[TrainConfig], facts: Mapping[str, Any]) -> None:
    """Write `run.json`: the configuration of every stage, and one entry of facts for each start of the run."""
    path = folder / RECORD
    starts = json.loads(path.read_text())["starts"] if path.is_file() else []
    _write_json(path, {"stages": [plain(stage) for stage in stages], "starts": [*starts, dict(facts)]})


def read_record(folder: Path) -> list[TrainConfig]:
    """Return the configuration of every stage of a run.

    Raises FileNotFoundError if the folder holds no run, ValueError if its record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"--resume {folder}: there is no run in it ({RECORD} is missing).")
    try:
        stages = [from_plain(TrainConfig, stage) for stage in json.loads(path.read_text())["stages"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): it cannot be resumed from.") from error
    return stages


def find_run(resume: str, output: Path | None) -> Path | None:
    """Return the folder of the run to resume, also for one of its stages' or checkpoints; None for `auto` without one.

    Raises FileNotFoundError when there is none, ValueError when --output contradicts.
    """
    if not resume:
        raise ValueError("--resume: expected a run's folder, latest or auto.")
    if resume == "auto":
        return output if output is not None and (output / RECORD).is_file() else None
    if resume == "latest":
        root = output or RUNS
        runs = [path.parent for path in [*root.glob(RECORD), *root.glob(f"*/{RECORD}")]]
        if not runs:
            raise FileNotFoundError(f"--resume latest: there is no run in {root}. Name one, or leave --resume out.")
        return max(runs, key=_newest_change)
    named = Path(resume)
    above = named.parents[:2] if named.exists() else ()  # of a stage's folder or a checkpoint
    folder = next((place for place in (named, *above) if (place / RECORD).is_file()), named)
    if output is not None and output != folder:
        raise ValueError(f"--output {output} with --resume {folder}: a run goes on in its folder; leave --output out.")
    return folder


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _newest_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder / RECORD, *folder.glob("*.pth"), *folder.glob("*/*.pth")])
