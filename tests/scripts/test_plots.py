"""Figures: what lies where in them, and the formats they are written in."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D
from PIL import Image

from scripts.plots import Curve, curve_figure, dot_figure, moving_mean, save_figure

RISING = Curve(x=np.array([0.0, 10.0]), y=np.array([0.0, 1.0]))
FALLING = Curve(x=np.array([0.0, 5.0, 10.0]), y=np.array([1.0, np.nan, 0.0]))


def data(line: Line2D) -> list[tuple[float, float]]:
    return [(x, y) for x, y in np.asarray(line.get_xydata()).tolist()]


def test_moving_mean_by_hand() -> None:
    y = np.array([1.0, 2.0, np.nan, 6.0])
    assert moving_mean(y, 1)[[0, 1, 3]].tolist() == [1, 2, 6] and math.isnan(moving_mean(y, 1)[2])
    assert moving_mean(y, 3)[[0, 1, 3]].tolist() == [1.5, 1.5, 6] and math.isnan(moving_mean(y, 3)[2])


def test_a_panel_for_each_quantity_a_colour_for_each_run() -> None:
    figure = curve_figure({"loss": {"a": RISING, "b": FALLING}, "iou": {"b": RISING}}, "step", columns=2)
    left, right = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "iou"]
    assert left.get_xlabel() == right.get_xlabel() == "step"
    a, b = left.get_lines()
    assert data(a) == [(0, 0), (10, 1)] and data(b) == [(0, 1), (10, 0)], "what is not known is left out"
    (again,) = right.get_lines()
    assert again.get_color() == b.get_color() != a.get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert [line.get_color() for line in legend.get_lines()] == [a.get_color(), b.get_color()]
    assert left.get_position().x1 <= right.get_position().x0, "side by side"


def test_smoothed_curves_have_their_points_behind_them() -> None:
    curve = Curve(x=np.arange(4.0), y=np.array([0.0, 3.0, 0.0, 3.0]))
    pale, mean = curve_figure({"loss": {"a": curve}}, "step", smooth=3).axes[0].get_lines()
    assert data(pale) == [(0, 0), (1, 3), (2, 0), (3, 3)] and (pale.get_alpha() or 1) < 0.5
    assert data(mean) == [(0, 1.5), (1, 1), (2, 2), (3, 1.5)] and mean.get_alpha() is None
    (dot,) = curve_figure({"loss": {"a": Curve(x=np.ones(1), y=np.ones(1))}}, "step").axes[0].get_lines()
    assert dot.get_marker() == "o", "a single point shows"


def test_dots_and_their_mean() -> None:
    figure = dot_figure({"J&F": {"a": [0.0, 1.0], "b": [1.0]}, "J": {"b": [0.5, 0.5]}})
    left, right = figure.axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["a", "b"] and left.get_ylabel() == "J&F"
    mean_a, dots_a, mean_b, dots_b = left.get_lines()
    assert data(mean_a) == [(-0.25, 0.5), (0.25, 0.5)] and data(mean_b) == [(0.75, 1), (1.25, 1)]
    assert data(dots_a) == [(-0.06, 0), (0.06, 1)] and data(dots_b) == [(1, 1)]
    _, twice = right.get_lines()
    assert len({x for x, _ in data(twice)}) == 2 and twice.get_color() == dots_b.get_color() != dots_a.get_color()


def test_the_suffix_chooses_the_format(tmp_path: Path) -> None:
    figure = curve_figure({"loss": {"a": RISING}}, "step")
    for name, start in (("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")):
        save_figure(figure, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 500 and len(picture.convert("RGB").getcolors(1 << 20) or ()) > 3
    with pytest.raises(ValueError, match="a.jpg: expected a name that ends in .png, .pdf, .svg, received '.jpg'"):
        save_figure(figure, tmp_path / "a.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PDF", "a.png", "a.svg"]
