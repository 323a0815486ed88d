"""The benchmark of segmenting: its rows, and a whole small one of each kind of network."""

import math

import pytest

import scripts.benchmark as benchmark
from scripts.benchmark import RELEASED_GFLOP, ROWS, Config, ordinary_frame, rows


def test_rows_hold_every_network_once() -> None:
    assert rows(Config()) == ROWS and {name for name, _ in ROWS} == {"xmem", "stcn", "bmvos", "emvos"}
    assert set(RELEASED_GFLOP) < set(ROWS) and len(set(ROWS)) == len(ROWS)
    assert rows(Config(models=["emvos", "stcn"])) == [("stcn", 1), ("stcn", 3), ("emvos", 1), ("emvos", 3)]
    assert rows(Config(only=["bmvos:2", "xmem"])) == [("bmvos", 2), ("xmem", 1)]
    for config in (Config(models=["bmvs"]), Config(only=["bmvs:1"])):
        with pytest.raises(ValueError, match="no network 'bmvs' to measure: expected bmvos, emvos, stcn, xmem."):
            rows(config)


@pytest.mark.parametrize("name", ["stcn", "bmvos"])
def test_r_is_given_where_the_released_code_was_measured(name: str) -> None:
    row = ordinary_frame(Config(height=64, width=64, repeats=1), name, 1)
    assert row["seconds"] > 0 and row["gflop"] > 0
    assert ("r" in row) == ((name, 1) in RELEASED_GFLOP)


def test_the_table_has_frames_per_second(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"seconds": 0.25, "gflop": 12.0, "rate": 50.0, "peak_mb": 700.0}
    monkeypatch.setattr(benchmark, "in_own_process", lambda measure, *_: measured)
    benchmark.main(Config(only=["bmvos:1"]))
    _, head, row = capsys.readouterr().out.splitlines()
    values = dict(zip(head.split()[:6], row.split(), strict=False))
    assert float(values["FPS"]) == 4 and float(values["s/frame"]) == 0.25 and values["r"] == "-"
    assert math.isclose(float(values["GFLOP"]), 12)
