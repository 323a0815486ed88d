import pytest

from inference.scoring.table import METRICS
from scripts.benchmarks.metrics import BenchmarkConfig, main


def test_every_metric_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(BenchmarkConfig(videos=2, frames=4, objects=2, height=100, width=120, repeats=1))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {words[0] for words in lines} == METRICS.keys()
    assert lines[0][0] == "davis" and float(lines[0][5]) == 1
    assert all(float(words[1]) > 0 for words in lines)
    assert {words[0]: words[8] for words in lines}["burst"] == "16"


def test_too_little_to_measure() -> None:
    with pytest.raises(ValueError, match="--frames at least 3"):
        main(BenchmarkConfig(frames=2))
