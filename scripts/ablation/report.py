"""What came of an ablation: the figures of all its scored runs, as a Markdown table and a plot."""

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.training.state import progress
from scripts.ablation.runs import TABLES, Row, last_stage, run_folder
from scripts.plots import dot_figure, save_figure
from scripts.score_run import read_scores
from util.config.plain import from_plain
from util.config.train import TrainConfig
from util.files.atomic import atomic_write
from util.run.folder import RECORD
from util.run.log import FILE as LOG
from util.run.log import read_scalars

TABLE, PLOT = "table.md", "plot.png"
STEP_SECONDS = "s/step"

_TITLES = {
    4: "Pixel-level and object-level loss (paper Table 4)",
    5: "Negatives of the pixel-level loss (paper Table 5)",
    6: "Objects of the object-level loss (paper Table 6)",
    7: "Variants of the object-level loss (ours)",
}
_SCORES = {"J&F": "J&F", "J-Mean": "J", "F-Mean": "F"}
_MATCH = re.compile(r"match_(foreground|background)_(\d+)")
_FACTS = ("commit", "cpu", "cores", "gpus", "processes")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A scored run.

    Attributes:
        folder: of the run.
        config: of its last stage.
        figures: shares in 0..1 by name, as in its scores.json, and `STEP_SECONDS`, if its log has any.
        settings: what it was scored on.
        facts: the commit and the machine of its latest start.
    """

    folder: Path
    config: TrainConfig
    figures: Mapping[str, float]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]


Results = dict[str, dict[int, Result]]


def write_report(output: Path, settings: Mapping[str, Any] | None = None) -> str:
    """Write the table and the plot of all scored runs into an ablation's folder, and return the table.

    Args:
        output: the folder.
        settings: only runs that were scored on this count; without it all, which must have been scored on the same.

    Raises:
        FileNotFoundError: when there is no scored run.
        ValueError: when runs were scored on different data.
    """
    tables = {number: collect(output, rows, settings) for number, rows in TABLES.items()}
    shown = {number: table for number, table in tables.items() if _has_own_runs(number, table)} or {4: tables[4]}
    results = {row: seeds for table in shown.values() for row, seeds in table.items()}
    if not results:
        raise FileNotFoundError(f"{output} holds no scored run of an ablation (ROW/seed<N>/scores.json).")
    _require_same_scoring(results)
    text = _text(shown, results)
    with atomic_write(output / TABLE) as temporary:
        temporary.write_text(text)
    panels = {name: _values(results, key) for key, name in _columns(results).items()}
    save_figure(dot_figure({name: values for name, values in panels.items() if values}), output / PLOT)
    return text


def collect(output: Path, rows: Sequence[Row], settings: Mapping[str, Any] | None) -> Results:
    """Return the scored runs of a table by row and seed; rows without any are left out."""
    results: Results = {}
    for row in rows:
        names = [row.name] if row.base is None else [row.name, row.base]
        seeds = {
            int(path.name[4:]) for name in names for path in (output / name).glob("seed*") if path.name[4:].isdigit()
        }
        found = {seed: read_result(run_folder(output, row, seed), settings) for seed in sorted(seeds)}
        if any(found.values()):
            results[row.name] = {seed: result for seed, result in found.items() if result is not None}
    return results


def read_result(folder: Path, settings: Mapping[str, Any] | None = None) -> Result | None:
    """Return what a run's folder holds; None if it was not scored, or on something else than `settings`."""
    scores, stage = read_scores(folder, settings), last_stage(folder)
    if scores is None or stage is None:
        return None
    config = from_plain(TrainConfig, json.loads((stage / "config.json").read_text()))
    seconds = step_seconds(read_scalars(stage / LOG), config)
    starts = json.loads((folder / RECORD).read_text())["starts"]
    return Result(
        folder=folder,
        config=config,
        figures=scores["figures"] | ({} if seconds is None else {STEP_SECONDS: seconds}),
        settings=scores["settings"],
        facts={name: starts[-1].get(name) for name in _FACTS},
    )


def step_seconds(log: Sequence[Mapping[str, Any]], config: TrainConfig) -> float | None:
    """Return the median time of a step over the lines of a run's log; None without any.

    A line is the mean of the steps since the line before. Those from before the losses' weight rises from 0, a share
    of the run that is the same in every row, are left out: the losses cost nothing until then.
    """
    seconds = [
        config.batch_size / line["clips_per_second"]
        for line in log
        if line.get("clips_per_second")
        and progress(config, line["step"], 60 * line["minutes"]) > config.correspondence.ramp[0]
    ]
    return statistics.median(seconds) if seconds else None


def spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Return mean ± sample standard deviation; the mean alone of one value, a dash of none."""
    if not values:
        return "–"
    mean = shown(statistics.fmean(values))
    return f"{mean} ± {shown(statistics.stdev(values)).lstrip('+')}" if len(values) > 1 else mean


def overheads(runs: Mapping[int, Result], baseline: Mapping[int, Result]) -> list[float]:
    """Return by what share a row's steps take longer than the baseline's, for each seed that both have."""
    both = [
        (runs[seed].figures.get(STEP_SECONDS), baseline[seed].figures.get(STEP_SECONDS))
        for seed in runs
        if seed in baseline
    ]
    return [own / other - 1 for own, other in both if own and other]


def _text(tables: Mapping[int, Results], results: Results) -> str:
    some = next(iter(next(iter(results.values())).values()))
    config, settings = some.config, some.settings
    budget = f"{config.max_minutes:g} minutes" if config.max_minutes else f"{config.iterations} steps"
    columns = _columns(results)
    lines = [
        f"# Ablation: {config.model} {config.size}, stage {config.stage}",
        "",
        f"{budget} of {config.batch_size} clips of {config.clip.frames} frames, {config.augment.crop_size} pixels; "
        f"scored on {settings['data']} ({len(settings['videos'])} videos, shorter side {settings['size']}) with the "
        "averaged weights of the last step, if the run keeps such.",
        "",
    ]
    for number, table in tables.items():
        head = ["row", "seeds", *columns.values(), "overhead"]
        lines += [f"## {_TITLES[number]}", "", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
        for name, runs in table.items():
            cells = [
                spread(
                    list(_values({name: runs}, key).get(name, [])), "{:.3f}".format if key == STEP_SECONDS else _percent
                )
                for key in columns
            ]
            cost = "" if name == "baseline" else spread(overheads(runs, table.get("baseline", {})), _signed_percent)
            lines.append(_row([name, str(len(runs)), *cells, cost]))
        lines.append("")
    return "\n".join([*lines, *_notes(results)]) + "\n"


def _notes(results: Results) -> list[str]:
    seeds = {name: " ".join(map(str, runs)) for name, runs in results.items()}
    notes = [
        "Mean ± sample standard deviation over seeds ("
        + "; ".join(f"{name}: {numbers}" for name, numbers in seeds.items())
        + "). Shares in percent.",
        "Objects, background at a gap: of a frame's cells on an object (on background), those whose best match in the "
        "frame so many frames before lies on the same object (on background), from the matching keys alone.",
        "s/step: the median over the lines of the log after the start of the losses' ramp, with loading of the data. "
        "Overhead: against the baseline of the same seed. Both mean something only where the runs had the machine to "
        "themselves, or shared it alike.",
    ]
    for name in _FACTS:
        values = {str(run.facts[name]) for runs in results.values() for run in runs.values()}
        if len(values) > 1:
            notes.append(f"Not the same for all runs, so that times need care: {name} {', '.join(sorted(values))}.")
    return ["\n\n".join(notes)]


def _columns(results: Results) -> dict[str, str]:
    """Return the names of the columns by the figures they show."""
    found = {name for runs in results.values() for run in runs.values() for name in run.figures}
    matches = sorted(
        (match[1] != "foreground", int(match[2]), name) for name in found if (match := _MATCH.fullmatch(name))
    )
    named = {name: f"{'background' if back else 'objects'}, gap {gap}" for back, gap, name in matches}
    return {**_SCORES, **named, STEP_SECONDS: STEP_SECONDS}


def _values(results: Results, figure: str) -> dict[str, list[float]]:
    """Return a figure of each row's runs, of those that have it."""
    values = {
        name: [run.figures[figure] for run in runs.values() if figure in run.figures] for name, runs in results.items()
    }
    return {name: found for name, found in values.items() if found}


def _has_own_runs(number: int, table: Results) -> bool:
    """Return whether a table has runs beside the baseline's that were not made for another table."""
    shared = {"baseline"} if number == 4 else {row.name for row in TABLES[4]}
    own = {name: runs for name, runs in table.items() if name not in shared}
    return any(run.folder.parent.name == name for name, runs in own.items() for run in runs.values())


def _require_same_scoring(results: Results) -> None:
    runs = [run for row in results.values() for run in row.values()]
    for run in runs:
        if run.settings != runs[0].settings:
            different = [key for key in runs[0].settings if run.settings.get(key) != runs[0].settings[key]]
            raise ValueError(
                f"{run.folder} and {runs[0].folder} were scored on different {', '.join(different)}: score all runs "
                "alike, by running the ablation without --only_report."
            )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _signed_percent(share: float) -> str:
    return f"{100 * share:+.1f} %"
