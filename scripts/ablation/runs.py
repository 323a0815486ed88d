"""The runs of an ablation: their rows, folders and command lines, and what of them is done."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset.disk.layout import training_part
from model.training.state import progress
from util.config.plain import plain
from util.config.plan import plan_run
from util.config.train import CorrespondenceConfig, TrainConfig
from util.run.folder import LAST, RECORD, read_newest


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table.

    Attributes:
        name: of the row and its folder.
        values: the settings of `CorrespondenceConfig` that make it.
        base: a row of Table 4 whose runs are this row's, where they happen to have its values.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    base: str | None = None

    def flags(self) -> tuple[str, ...]:
        """Return the row's words on the command line of train.py."""
        words: list[str] = []
        for name, value in self.values.items():
            words += (
                [f"--{name}" if value else f"--no_{name}"] if isinstance(value, bool) else [f"--{name}", f"{value}"]
            )
        return tuple(words)


_BASELINE = Row(name="baseline", values={"alpha": 0.0})
_PCL = Row(name="pcl", values={"ocl": False})
_KINDS = {"pcl_negatives": ("intra", "inter", "both"), "ocl_objects": ("manual", "auto", "both")}


def _sub_rows(base: str, without: str, setting: str) -> tuple[Row, ...]:
    kinds = _KINDS[setting]
    return tuple(Row(name=f"{base}-{kind}", values={without: False, setting: kind}, base=base) for kind in kinds)


# By the paper's numbers; 7 is ours.
TABLES: dict[int, tuple[Row, ...]] = {
    4: (
        _BASELINE,
        _PCL,
        Row(name="ocl", values={"pcl": False}),
        Row(name="both"),
    ),
    5: (_BASELINE, *_sub_rows("pcl", "ocl", "pcl_negatives")),
    6: (_BASELINE, *_sub_rows("ocl", "pcl", "ocl_objects")),
    7: (
        _BASELINE,
        _PCL,
        Row(name="ocl-paper", values={"pcl": False, "ocl_variant": "paper"}, base="ocl"),
        Row(name="ocl-hard", values={"pcl": False, "ocl_variant": "hard"}),
        Row(name="both-hard", values={"ocl_variant": "hard"}),
    ),
}

_OURS = ("output", "seed", "resume", "overwrite", "print_config", "pcl", "ocl")
# What does not change what is trained.
_NOT_COMPARED = (
    *("output", "checkpoint", "resume", "overwrite", "print_config", "validation"),
    *("save_every", "keep", "log_every", "picture_every", "num_workers"),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of an ablation.

    Attributes:
        row: the row that it belongs to.
        seed: of the run.
        folder: of the run.
        words: of the command line of train.py, which start or continue it.
        stages: the configuration of each of its stages.
    """

    row: Row
    seed: int
    folder: Path
    words: tuple[str, ...]
    stages: tuple[TrainConfig, ...]

    @property
    def name(self) -> str:
        """Return what to call it."""
        return f"{self.row.name} seed {self.seed}"


def choose_rows(table: int, names: Sequence[str] = ()) -> tuple[Row, ...]:
    """Return the rows of a table (4, 5 or 6 of the paper), or those of the given names.

    Raises ValueError for a row that the table does not have.
    """
    rows = {row.name: row for row in TABLES[table]}
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise ValueError(f"--rows {unknown[0]}: table {table} has the rows {', '.join(rows)}.")
    return tuple(row for row in rows.values() if not names or row.name in names)


def plan_runs(output: Path, rows: Sequence[Row], seeds: Sequence[int], words: Sequence[str]) -> list[Run]:
    """Resolve the runs of an ablation, all rows of the first seed first.

    Args:
        output: the ablation's folder; a run's is output/ROW/seed<N>.
        rows: which rows.
        seeds: the seeds of each row.
        words: flags of train.py that all runs share.

    Raises:
        ValueError: for flags that are not the user's to give, for rows that they make equal to the baseline, or with
            what differs where a folder holds another run already.
        SystemExit: for flags that train.py does not know, after a line on stderr.
    """
    _refuse_own_flags(rows, words)
    runs = []
    for seed in seeds:
        for row in rows:
            folder = run_folder(output, row, seed)
            asked = (*words, *row.flags(), "--seed", str(seed), "--output", str(folder))
            plan = plan_run(asked, "train.py", "")
            last = plan.stages[-1]
            if row is not _BASELINE and not last.correspondence.active:
                raise ValueError(f"--alpha {last.correspondence.alpha:g}: row {row.name} would be the baseline again.")
            run = Run(row=row, seed=seed, folder=folder, words=(*asked, "--resume", "auto"), stages=plan.stages)
            _refuse_another(run)
            runs.append(run)
    return runs


def run_folder(output: Path, row: Row, seed: int) -> Path:
    """Return where a row's run of a seed lies, or will lie."""
    if row.base is not None:
        folder = output / row.base / f"seed{seed}"
        stages = _recorded(folder)
        if stages and all(stages[-1].get("correspondence", {}).get(key) == row.values[key] for key in row.values):
            return folder
    return output / row.name / f"seed{seed}"


def is_finished(run: Run) -> bool:
    """Return whether the run's last stage is over, as its newest checkpoint says."""
    config = run.stages[-1]
    newest = read_newest(config.folder())
    if newest is None:
        return False
    saved = newest[1]
    return progress(config, saved["step"], saved.get("seconds", 0.0)) >= 1


def last_stage(folder: Path) -> Path | None:
    """Return the folder of the last stage of a run that has saved weights; None if there is none."""
    return next((place for place in (folder, *sorted(folder.glob("stage?"))[::-1]) if (place / LAST).is_file()), None)


def differences(recorded: Mapping[str, Any], planned: TrainConfig) -> list[str]:
    """Return what would be trained otherwise than the record of a stage says, such as "iterations 100 (now 200)".

    Data are the same wherever they lie, if the same folders of frames and masks are meant. What an older program did
    not record counts as the same, but for the correspondence losses, which it did not have.
    """
    now = plain(planned)
    old = {"correspondence": {"alpha": 0.0}, **recorded}
    if not (planned.correspondence.active or _is_active(old["correspondence"])):
        del old["correspondence"]
    found = []
    for name, value in now.items():
        if name in _NOT_COMPARED or name not in old:
            continue
        settings = value if isinstance(value, dict) else {name: value}
        before = old[name] if isinstance(value, dict) else {name: old[name]}
        found += [
            f"{key} {before[key]} (now {settings[key]})"
            for key in settings
            if key in before and key not in _NOT_COMPARED and not _is_same(key, before[key], settings[key])
        ]
    return found


def _refuse_own_flags(rows: Sequence[Row], words: Sequence[str]) -> None:
    own = {*_OURS, *(name for row in rows for name in row.values)} - {"alpha"}
    for word in words:
        name = word.split("=")[0].removeprefix("--").replace("-", "_")
        if word.startswith("--") and name.removeprefix("no_") in own:
            raise ValueError(f"--{name} after --: the rows, --seeds and --output decide it; leave it out.")


def _refuse_another(run: Run) -> None:
    """Raise ValueError if the run's folder holds a run of other settings."""
    recorded = _recorded(run.folder)
    if not recorded:
        return
    was, now = ("".join(names) for names in ([old["stage"] for old in recorded], [new.stage for new in run.stages]))
    found = [f"stage {was} (now {now})"] if was != now else []
    for old, new in zip(recorded, run.stages, strict=False):
        found += [text for text in differences(old, new) if text not in found]
    if found:
        raise ValueError(
            f"{run.folder} holds a run with other settings: {', '.join(found)}. Give the same flags, choose another "
            "--output, or remove that folder."
        )


def _recorded(folder: Path) -> list[dict[str, Any]]:
    """Return the configuration of each stage as the run's record has it; empty without a record."""
    path = folder / RECORD
    if not path.is_file():
        return []
    try:
        stages: list[dict[str, Any]] = json.loads(path.read_text())["stages"]
        return [{"stage": "", **stage} for stage in stages]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove that folder, or restore the file.") from error


def _is_active(correspondence: Mapping[str, Any]) -> bool:
    names = ("alpha", "pcl", "ocl")
    return CorrespondenceConfig(**{name: correspondence[name] for name in names if name in correspondence}).active


def _is_same(name: str, before: Any, now: Any) -> bool:
    if before == now:
        return True
    if name.endswith("_roots") and len(before) == len(now):
        return all(_is_same("root", *pair) for pair in zip(before, now, strict=True))
    return name.endswith("root") and before is not None and now is not None and _places(before) == _places(now)


def _places(root: str) -> list[Path]:
    """Return the folders of frames and masks below a root, links resolved; the root itself if it has none."""
    part = training_part(Path(root))
    places = [Path(root)] if part is None or part.masks is None else [part.frames, part.masks]
    return [place.resolve() for place in places]
