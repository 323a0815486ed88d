"""Draws the curves of one or several runs as a PNG, PDF or SVG.

python scripts/plot_run.py runs/xmem-base-s2

python scripts/plot_run.py runs/a runs/b --only loss "validation/J&F" --output compare.pdf
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.plots import Curve, curve_figure, save_figure
from util.cli import run
from util.run.log import FILE, read_scalars

# Shown first; the others follow by name.
_FIRST = (
    "loss",
    "cross_entropy",
    "dice",
    "iou",
    "J&F",
    "J-Mean",
    "F-Mean",
    "lr",
    "gradient_norm",
    "pixel_share",
    "gap",
)


@dataclass(frozen=True, kw_only=True)
class PlotConfig:
    """What to draw."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs; of a chain of stages, each stage has its curve."""
    only: tuple[str, ...] = ()
    """Quantities to draw (default: all)."""
    smooth: int = 0
    """Points over which curves are averaged; 0 takes a fiftieth of them, 1 does not average."""
    columns: int = 3
    """Panels beside each other."""
    output: Path | None = None
    """The picture, in the format of its suffix: .png, .pdf or .svg (default: curves.png in the first run's folder)."""


def main(config: PlotConfig) -> None:
    """Draw the picture; print its place, and how the quantities of --only began and ended."""
    if config.smooth < 0 or config.columns < 1:
        raise ValueError("--smooth must be at least 0, --columns at least 1.")
    logs = {name: path for place in config.runs for name, path in find_logs(place).items()}
    panels = collect({name: read_scalars(path) for name, path in logs.items()}, config.only)
    output = config.output or config.runs[0] / "curves.png"
    save_figure(curve_figure(panels, "step", config.columns, config.smooth), output)
    for name in config.only:
        for log, curve in panels[name].items():
            print(
                f"{log}: {name} {curve.y[0]:.3f} at step {curve.x[0]:.0f}, {curve.y[-1]:.3f} at step {curve.x[-1]:.0f}"
            )
    print(output)


def find_logs(folder: Path) -> dict[str, Path]:
    """Return the logs of a run by name: its own, or those of its stages.

    Raises FileNotFoundError if there is none.
    """
    paths = [folder / FILE] if (folder / FILE).is_file() else sorted(folder.glob(f"stage*/{FILE}"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no {FILE}: expected the folder of a run of train.py.")
    return {path.parent.as_posix(): path for path in paths}


def collect(logs: dict[str, list[dict[str, float | None]]], only: Sequence[str]) -> dict[str, dict[str, Curve]]:
    """Return the curves by quantity, then by run.

    Raises ValueError if there are none, or a quantity of `only` is in no run.
    """
    names = {name for entries in logs.values() for entry in entries for name in entry} - {"step"}
    if not logs:
        raise ValueError("give the folder of a run, or several.")
    if not names:
        raise ValueError(f"{', '.join(logs)}: nothing was logged yet.")
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ValueError(f"--only {' '.join(unknown)}: the runs logged {', '.join(sorted(names))}.")
    order = only or sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return {
        name: {log: _curve(entries, name) for log, entries in logs.items() if _has(entries, name)} for name in order
    }


def _has(entries: list[dict[str, float | None]], name: str) -> bool:
    return any(name in entry for entry in entries)


def _curve(entries: list[dict[str, float | None]], name: str) -> Curve:
    points = {entry["step"]: entry[name] for entry in entries if name in entry}
    y = [np.nan if value is None else value for value in points.values()]
    return Curve(x=np.array(list(points), np.float64), y=np.array(y, np.float64))


if __name__ == "__main__":
    run(main, PlotConfig, "plot_run.py", __doc__ or "")
