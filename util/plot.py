"""Curves and dots in a picture: small panels, one for each quantity, drawn with what the program needs anyway."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

T = TypeVar("T")

_WIDTH, _HEIGHT = 440, 280  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 30  # margins of a panel around its axes
_ROW = 22  # height of a line of the legend
_SCALE = 2  # drawn larger and reduced: smooth lines
_INK, _GREY, _GRID = (40, 40, 40), (110, 110, 110), (228, 228, 228)
_COLOURS = ((31, 101, 183), (217, 83, 25), (46, 139, 87), (148, 70, 163), (190, 140, 0), (0, 150, 160), (200, 40, 90))


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One curve: points by rising `x`, as long as `y`; a y of NaN is left out."""

    x: np.ndarray
    y: np.ndarray


def draw_panels(panels: Mapping[str, Mapping[str, Curve]], columns: int = 3, smooth: int = 0) -> np.ndarray:
    """Draw a panel for each quantity, with a curve of its own colour for each run that has it.

    Args:
        panels: curves by the quantity's name, then by the run's.
        columns: panels beside each other.
        smooth: points over which a curve is averaged, its own points behind it in pale; 0 takes a fiftieth of them.

    Returns:
        The picture [H,W,3] uint8.
    """
    return _draw_grid(panels, columns, lambda draw, corner, curves: _draw_curves(draw, corner, curves, smooth))


def draw_dots(panels: Mapping[str, Mapping[str, Sequence[float]]], columns: int = 3) -> np.ndarray:
    """Draw a panel for each quantity, with a column for each group that has it: a dot for each value, a bar as mean.

    Args:
        panels: values by the quantity's name, then by the group's; none is NaN.
        columns: panels beside each other.

    Returns:
        The picture [H,W,3] uint8.
    """
    return _draw_grid(panels, columns, _draw_dots)


def _draw_grid(
    panels: Mapping[str, Mapping[str, T]],
    columns: int,
    draw_panel: Callable[[ImageDraw.ImageDraw, tuple[int, int], Mapping[int, T]], None],
) -> np.ndarray:
    """Draw panels with their titles in rows, and a legend below: each name has its colour in all panels."""
    names = list(dict.fromkeys(name for contents in panels.values() for name in contents))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (columns * _WIDTH * _SCALE, (rows * _HEIGHT + len(names) * _ROW + 12) * _SCALE)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for number, (title, contents) in enumerate(panels.items()):
        corner = (number % columns * _WIDTH, number // columns * _HEIGHT)
        draw.text(
            _scaled([(corner[0] + _LEFT, corner[1] + _TOP - 8)])[0], title, fill=_INK, font=_font(14), anchor="ls"
        )
        draw_panel(draw, corner, {names.index(name): content for name, content in contents.items()})
    for number, name in enumerate(names):
        y = rows * _HEIGHT + number * _ROW + _ROW / 2
        draw.line(_scaled([(_LEFT, y), (_LEFT + 28, y)]), fill=_colour(number), width=3 * _SCALE)
        draw.text(_scaled([(_LEFT + 38, y)])[0], name, fill=_INK, font=_font(13), anchor="lm")
    return np.array(canvas.resize((size[0] // _SCALE, size[1] // _SCALE), Image.Resampling.LANCZOS))


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, math.floor(high / step + 1e-9) + 1)]


def moving_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the `window` values around each (of fewer at the ends); NaNs don't count."""
    known = ~np.isnan(y)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, y, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    index = np.arange(len(y))
    first, last = np.maximum(index - window // 2, 0), np.minimum(index + (window + 1) // 2, len(y))
    counted = count[last] - count[first]
    return np.where(known, (total[last] - total[first]) / np.maximum(counted, 1), np.nan)


def _draw_curves(draw: ImageDraw.ImageDraw, corner: tuple[int, int], curves: Mapping[int, Curve], smooth: int) -> None:
    x_range = _range([curve.x for curve in curves.values()])
    y_range = _range([curve.y for curve in curves.values()], margin=0.05)
    _draw_levels(draw, corner, y_range)
    for tick in nice_ticks(*x_range):
        (x, y) = _place(corner, x_range, y_range, np.array(tick), np.array(y_range[0])).tolist()
        draw.line(_scaled([(x, corner[1] + _TOP), (x, y)]), fill=_GRID, width=_SCALE)
        draw.text(_scaled([(x, y + 6)])[0], f"{tick:g}", fill=_GREY, font=_font(11), anchor="mt")
    for number, curve in curves.items():
        window = smooth or max(len(curve.y) // 50, 1)
        if window > 1:
            pale = tuple((3 * 255 + part) // 4 for part in _colour(number))
            _draw_line(draw, _place(corner, x_range, y_range, curve.x, curve.y), (pale[0], pale[1], pale[2]), 1)
        mean = moving_mean(curve.y, window)
        _draw_line(draw, _place(corner, x_range, y_range, curve.x, mean), _colour(number), 2)


def _draw_dots(draw: ImageDraw.ImageDraw, corner: tuple[int, int], groups: Mapping[int, Sequence[float]]) -> None:
    x_range = (-0.5, len(groups) - 0.5)
    y_range = _range([np.array(values, np.float64) for values in groups.values()], margin=0.1)
    _draw_levels(draw, corner, y_range)
    for column, (number, values) in enumerate(groups.items()):
        colour, mean = _colour(number), np.full(2, np.mean(values))
        ends = np.array([column - 0.25, column + 0.25])
        _draw_line(draw, _place(corner, x_range, y_range, ends, mean), colour, 3)
        # Side by side, so that equal values show.
        for x, value in zip(column + 0.12 * (np.arange(len(values)) - (len(values) - 1) / 2), values, strict=True):
            _draw_line(draw, _place(corner, x_range, y_range, np.array([x]), np.array([value])), colour, 2)


def _draw_levels(draw: ImageDraw.ImageDraw, corner: tuple[int, int], y_range: tuple[float, float]) -> None:
    """Draw a panel's horizontal lines and their numbers."""
    for tick in nice_ticks(*y_range):
        (x, y) = _place(corner, (0, 1), y_range, np.array(0), np.array(tick)).tolist()
        draw.line(_scaled([(x, y), (corner[0] + _WIDTH - _RIGHT, y)]), fill=_GRID, width=_SCALE)
        draw.text(_scaled([(x - 6, y)])[0], f"{tick:g}", fill=_GREY, font=_font(11), anchor="rm")


def _place(
    corner: tuple[int, int], x_range: tuple[float, float], y_range: tuple[float, float], x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Return where points lie in the picture [...,2], x to the right and y down, in a panel of these ranges."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    across = corner[0] + _LEFT + (x - x_range[0]) / (x_range[1] - x_range[0]) * width
    down = corner[1] + _TOP + (y_range[1] - y) / (y_range[1] - y_range[0]) * height
    return np.stack([across, down], axis=-1)


def _draw_line(draw: ImageDraw.ImageDraw, points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    seen = points[~np.isnan(points).any(axis=1)]
    if len(seen) == 1:  # a line of one point would not show
        x, y = seen[0] * _SCALE
        draw.ellipse([x - 3 * _SCALE, y - 3 * _SCALE, x + 3 * _SCALE, y + 3 * _SCALE], fill=colour)
    elif len(seen):
        draw.line(_scaled(seen.tolist()), fill=colour, width=width * _SCALE, joint="curve")


def _range(values: Sequence[np.ndarray], margin: float = 0.0) -> tuple[float, float]:
    joined = np.concatenate(values)
    joined = joined[~np.isnan(joined)]
    low, high = (float(joined.min()), float(joined.max())) if len(joined) else (0.0, 1.0)
    room = margin * (high - low) or (0.0 if high > low else 0.5 * abs(high) or 0.5)
    return low - room, high + room


def _scaled(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    return [(x * _SCALE, y * _SCALE) for x, y in points]


def _colour(number: int) -> tuple[int, int, int]:
    return _COLOURS[number % len(_COLOURS)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)
