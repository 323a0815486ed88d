"""Curves of runs: which there are, the picture, what can't be drawn."""

import json
import math
from pathlib import Path

import pytest
from PIL import Image

from scripts.plot_run import PlotConfig, collect, find_logs, main


def write_log(folder: Path, **values: list[float | None]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    lines = [json.dumps({"step": 10 * number, **row}) for number, row in enumerate(rows, 1)]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_runs_and_their_stages_become_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    single = write_log(tmp_path / "a", loss=[2.0, None, 1.0], zeta=[0.0, 0.0, 0.0])
    values: dict[str, list[float | None]] = {"loss": [3.0, 2.0], "validation/J&F": [0.1, 0.2]}
    for stage in ("stage0", "stage3"):
        write_log(tmp_path / "b" / stage, **values)
    assert [Path(name).name for name in find_logs(tmp_path / "b")] == ["stage0", "stage3"]
    main(PlotConfig(runs=(single, tmp_path / "b")))
    assert capsys.readouterr().out.strip() == str(single / "curves.png")
    with Image.open(single / "curves.png") as picture:
        assert picture.format == "PNG"
    main(PlotConfig(runs=(single, tmp_path / "b"), output=tmp_path / "out" / "fig.svg", only=("loss",)))
    text = (tmp_path / "out" / "fig.svg").read_text()
    assert ">loss<" in text and ">step<" in text and f">{single.as_posix()}<" in text and "J&amp;F" not in text


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
    with pytest.raises(ValueError, match="fig.jpg: expected a name that ends in .png, .pdf, .svg, received '.jpg'"):
        main(PlotConfig(runs=(run,), output=tmp_path / "fig.jpg"))
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="a: nothing was logged yet"):
        main(PlotConfig(runs=(run,)))
    with pytest.raises(ValueError, match="give the folder of a run, or several"):
        main(PlotConfig(runs=()))
