"""Curves of runs: ticks and means by hand, the picture, what can't be drawn."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.plot_run import PlotConfig, collect, find_logs, main
from util.plot import Curve, draw_dots, draw_panels, moving_mean, nice_ticks

BLUE, ORANGE = (31, 101, 183), (217, 83, 25)


def write_log(folder: Path, **values: list[float | None]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    lines = [json.dumps({"step": 10 * number, **row}) for number, row in enumerate(rows, 1)]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 8000, [0, 2000, 4000, 6000, 8000]),
        (-0.03, 0.11, [0, 0.05, 0.1]),
        (3, 3, [3]),
        (1e-5, 5e-5, [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]),
    ],
)
def test_ticks_by_hand(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_moving_mean_by_hand() -> None:
    y = np.array([1.0, 2.0, np.nan, 6.0])
    assert moving_mean(y, 1)[[0, 1, 3]].tolist() == [1, 2, 6] and math.isnan(moving_mean(y, 1)[2])
    assert moving_mean(y, 3)[[0, 1, 3]].tolist() == [1.5, 1.5, 6] and math.isnan(moving_mean(y, 3)[2])


def test_curves_are_drawn_where_they_should_be() -> None:
    rising = Curve(x=np.array([0.0, 10.0]), y=np.array([0.0, 1.0]))
    falling = Curve(x=np.array([0.0, 10.0]), y=np.array([1.0, 0.0]))
    picture = draw_panels({"loss": {"a": rising, "b": falling}, "iou": {"b": rising}}, columns=2)
    assert picture.dtype == np.uint8 and picture.shape == (280 + 2 * 22 + 12, 2 * 440, 3)
    left, right = picture[:280, :440], picture[:280, 440:]

    def rows_of(panel: np.ndarray, colour: tuple[int, int, int], columns: slice) -> float:
        return float(np.argwhere(np.abs(panel[:, columns].astype(int) - colour).sum(-1) < 60)[:, 0].mean())

    assert rows_of(left, BLUE, slice(60, 120)) > 150 > rows_of(left, BLUE, slice(380, 430))
    assert rows_of(left, ORANGE, slice(60, 120)) < 150 < rows_of(left, ORANGE, slice(380, 430))
    assert rows_of(right, ORANGE, slice(60, 120)) > 150  # the colour is the run's in every panel
    assert not (np.abs(right.astype(int) - BLUE).sum(-1) < 60).any()


def test_dots_and_their_mean_are_drawn_where_they_should_be() -> None:
    picture = draw_dots({"J&F": {"a": [0.0, 1.0], "b": [1.0]}, "J": {"b": [0.5, 0.5, 0.5]}})
    assert picture.dtype == np.uint8 and picture.shape == (280 + 2 * 22 + 12, 2 * 440, 3)
    panel, other = picture[34:250, 64:424].astype(int), picture[34:250, 504:864].astype(int)

    def rows_of(part: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
        return np.argwhere(np.abs(part - colour).sum(-1) < 60)[:, 0] / part.shape[0]

    left, right = panel[:, :180], panel[:, 180:]
    # From -0.1 to 1.1: the values 0 and 1 and the mean of both lie at 11/12, 1/12 and 1/2 from above.
    blue = rows_of(left, BLUE)
    for place in (1 / 12, 1 / 2, 11 / 12):
        assert (np.abs(blue - place) < 0.03).sum() > 20
    assert ((np.abs(blue - 1 / 12) < 0.03) | (np.abs(blue - 1 / 2) < 0.03) | (np.abs(blue - 11 / 12) < 0.03)).all()
    assert np.abs(rows_of(right, ORANGE) - 1 / 12).max() < 0.03 and not len(rows_of(right, BLUE))
    assert len(rows_of(other, ORANGE)) and not len(rows_of(other, BLUE))  # the colour is the group's in every panel


def test_runs_and_their_stages_become_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    single = write_log(tmp_path / "a", loss=[2.0, None, 1.0], zeta=[0.0, 0.0, 0.0])
    values: dict[str, list[float | None]] = {"loss": [3.0, 2.0], "validation/J&F": [0.1, 0.2]}
    for stage in ("stage0", "stage3"):
        write_log(tmp_path / "b" / stage, **values)
    assert [Path(name).name for name in find_logs(tmp_path / "b")] == ["stage0", "stage3"]
    main(PlotConfig(runs=(single, tmp_path / "b")))
    assert capsys.readouterr().out.strip() == str(single / "curves.png")
    with Image.open(single / "curves.png") as picture:
        assert picture.size == (3 * 440, 280 + 3 * 22 + 12)


def test_which_curves_there_are() -> None:
    logs: dict[str, list[dict[str, float | None]]] = {
        "a": [{"step": 1, "zeta": 5.0, "loss": None}, {"step": 2, "loss": 2.0}],
        "b": [{"step": 1, "lr": 1.0}],
    }
    panels = collect(logs, ())
    assert list(panels) == ["loss", "lr", "zeta"] and list(panels["loss"]) == ["a"]
    assert panels["loss"]["a"].x.tolist() == [1, 2] and math.isnan(panels["loss"]["a"].y[0])
    assert list(collect(logs, ("zeta", "lr"))) == ["zeta", "lr"]


def test_begin_and_end_of_the_quantities_that_are_asked_for_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_log(tmp_path / "a", loss=[2.5, 7.0, 1.25], iou=[0.1, 0.2, 0.3])
    main(PlotConfig(runs=(run,), only=("loss",)))
    first, place = capsys.readouterr().out.splitlines()
    assert first == f"{run.as_posix()}: loss 2.500 at step 10, 1.250 at step 30"
    assert place == str(run / "curves.png")


def test_what_cannot_be_drawn_is_explained(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no metrics.jsonl: expected the folder of a run of train.py"):
        main(PlotConfig(runs=(tmp_path,)))
    run = write_log(tmp_path / "a", loss=[1.0])
    with pytest.raises(ValueError, match="--only lost: the runs logged loss."):
        main(PlotConfig(runs=(run,), only=("lost",)))
    with pytest.raises(ValueError, match="--smooth must be at least 0, --columns at least 1"):
        main(PlotConfig(runs=(run,), columns=0))
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="--only all: the runs logged nothing yet"):
        main(PlotConfig(runs=(run,)))
