"""Curves and dots in a figure of panels, one panel for each quantity, written as PNG, PDF or SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from util.files.atomic import atomic_write

T = TypeVar("T")

FORMATS = (".png", ".pdf", ".svg")
_PANEL_INCHES = (4.2, 2.7)
_LEGEND_INCHES = 0.2  # a line of it


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One curve: points by rising `x`, as long as `y`; a y of NaN is left out."""

    x: np.ndarray
    y: np.ndarray


def curve_figure(panels: Mapping[str, Mapping[str, Curve]], x_label: str, columns: int = 3, smooth: int = 0) -> Figure:
    """Draw a panel for each quantity, with a curve of its own colour for each run that has it.

    Args:
        panels: curves by the quantity's name, then by the run's.
        x_label: what runs along the x axis of all panels.
        columns: panels beside each other.
        smooth: points over which a curve is averaged, its own points behind it in pale; 0 takes a fiftieth of them.
    """

    def draw(axes: Axes, curves: Mapping[str, Curve], colours: Mapping[str, str]) -> None:
        axes.set_xlabel(x_label)
        for name, curve in curves.items():
            window = smooth or max(len(curve.y) // 50, 1)
            if window > 1:
                _draw_line(axes, curve.x, curve.y, color=colours[name], alpha=0.25, linewidth=0.8)
            _draw_line(axes, curve.x, moving_mean(curve.y, window), color=colours[name], linewidth=1.5)

    return _figure(panels, columns, draw, legend=True)


def dot_figure(panels: Mapping[str, Mapping[str, Sequence[float]]], columns: int = 3) -> Figure:
    """Draw a panel for each quantity, with a column for each group that has it: a dot for each value, a bar as mean.

    Args:
        panels: values by the quantity's name, then by the group's; none is NaN.
        columns: panels beside each other.
    """

    def draw(axes: Axes, groups: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> None:
        axes.set_xticks(range(len(groups)), list(groups), rotation=30, ha="right")
        axes.set_xlim(-0.5, len(groups) - 0.5)
        axes.margins(y=0.1)
        for column, (name, values) in enumerate(groups.items()):
            mean = float(np.mean(values))
            axes.plot([column - 0.25, column + 0.25], [mean, mean], color=colours[name], linewidth=2)
            # Side by side, so that equal values show.
            places = column + 0.12 * (np.arange(len(values)) - (len(values) - 1) / 2)
            axes.plot(places, list(values), "o", color=colours[name], markersize=4)

    return _figure(panels, columns, draw, legend=False)  # names stand below their columns


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix. Raises ValueError for one that is not in FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(FORMATS)}, received {path.suffix!r}.")
    with atomic_write(path) as temporary, mpl.rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)


def moving_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the `window` values around each (of fewer at the ends); NaNs don't count."""
    known = ~np.isnan(y)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, y, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    index = np.arange(len(y))
    first, last = np.maximum(index - window // 2, 0), np.minimum(index + (window + 1) // 2, len(y))
    counted = count[last] - count[first]
    return np.where(known, (total[last] - total[first]) / np.maximum(counted, 1), np.nan)


def _figure(
    panels: Mapping[str, Mapping[str, T]],
    columns: int,
    draw: Callable[[Axes, Mapping[str, T], Mapping[str, str]], None],
    legend: bool,
) -> Figure:
    """Draw panels in rows, and a legend below them: each name has its colour in all panels."""
    names = list(dict.fromkeys(name for contents in panels.values() for name in contents))
    cycle = mpl.rcParamsDefault["axes.prop_cycle"].by_key()["color"]
    colours = {name: cycle[number % len(cycle)] for number, name in enumerate(names)}
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    below = (len(names) + 1) * _LEGEND_INCHES if legend else 0.0
    size = (columns * _PANEL_INCHES[0], rows * _PANEL_INCHES[1] + below)
    figure = Figure(figsize=size, layout="constrained")
    for number, (title, contents) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.set_ylabel(title)
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        draw(axes, contents, colours)
    keys = [Line2D([], [], color=colours[name], label=name) for name in names]
    if legend:
        figure.legend(handles=keys, loc="outside lower left", frameon=False)
    return figure


def _draw_line(axes: Axes, x: np.ndarray, y: np.ndarray, **look: object) -> None:
    seen = ~np.isnan(y)
    marker = "o" if seen.sum() == 1 else None  # a line of one point would not show
    axes.plot(x[seen], y[seen], marker=marker, markersize=4, **look)  # type: ignore[arg-type]
