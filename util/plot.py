"""Curves in a picture: small panels, one for each quantity, drawn with what the program needs anyway."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
    runs = list(dict.fromkeys(run for curves in panels.values() for run in curves))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (columns * _WIDTH * _SCALE, (rows * _HEIGHT + len(runs) * _ROW + 12) * _SCALE)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for number, (name, curves) in enumerate(panels.items()):
        corner = (number % columns * _WIDTH, number // columns * _HEIGHT)
        _draw_panel(draw, corner, name, {runs.index(run): curve for run, curve in curves.items()}, smooth)
    for number, run in enumerate(runs):
        y = rows * _HEIGHT + number * _ROW + _ROW / 2
        draw.line(_scaled([(_LEFT, y), (_LEFT + 28, y)]), fill=_colour(number), width=3 * _SCALE)
        draw.text(_scaled([(_LEFT + 38, y)])[0], run, fill=_INK, font=_font(13), anchor="lm")
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


def _draw_panel(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], name: str, curves: Mapping[int, Curve], smooth: int
) -> None:
    x_range = _range([curve.x for curve in curves.values()])
    y_range = _range([curve.y for curve in curves.values()], margin=0.05)
    left, top = corner[0] + _LEFT, corner[1] + _TOP
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        across = left + (x - x_range[0]) / (x_range[1] - x_range[0]) * width
        down = top + (y_range[1] - y) / (y_range[1] - y_range[0]) * height
        return np.stack([across, down], axis=-1)

    for tick in nice_ticks(*y_range):
        y = float(place(np.array(x_range[0]), np.array(tick))[1])
        draw.line(_scaled([(left, y), (left + width, y)]), fill=_GRID, width=_SCALE)
        draw.text(_scaled([(left - 6, y)])[0], f"{tick:g}", fill=_GREY, font=_font(11), anchor="rm")
    for tick in nice_ticks(*x_range):
        x = float(place(np.array(tick), np.array(y_range[0]))[0])
        draw.line(_scaled([(x, top), (x, top + height)]), fill=_GRID, width=_SCALE)
        draw.text(_scaled([(x, top + height + 6)])[0], f"{tick:g}", fill=_GREY, font=_font(11), anchor="mt")
    draw.text(_scaled([(left, top - 8)])[0], name, fill=_INK, font=_font(14), anchor="ls")
    for number, curve in curves.items():
        window = smooth or max(len(curve.y) // 50, 1)
        if window > 1:
            pale = tuple((3 * 255 + part) // 4 for part in _colour(number))
            _draw_line(draw, place(curve.x, curve.y), (pale[0], pale[1], pale[2]), 1)
        _draw_line(draw, place(curve.x, moving_mean(curve.y, window)), _colour(number), 2)


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
