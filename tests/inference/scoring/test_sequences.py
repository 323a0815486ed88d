import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inference.scoring.sequences import map_sequences
from inference.scoring.table import METRICS
from scripts.benchmarks.metrics import BenchmarkConfig, write_data


def double(number: int) -> int:
    return 2 * number


def test_results_come_in_the_order_of_the_jobs() -> None:
    done: list[int] = []

    def noted(number: int) -> int:
        done.append(number)
        return double(number)

    assert map_sequences(noted, [1, 2, 3], [5, 9, 7]) == [2, 4, 6]
    assert done == [2, 3, 1]  # the longest first
    assert map_sequences(double, [], []) == []


def test_progress_counts_frames(capsys: pytest.CaptureFixture[str]) -> None:
    map_sequences(double, [1, 2], [5, 9], show_progress=True)
    assert "14 of 14" in capsys.readouterr().err


def test_a_negative_number_of_processes() -> None:
    with pytest.raises(ValueError, match=r"workers must be 0 \(no processes\) or more, received -1"):
        map_sequences(double, [1], [1], -1)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_use_processes(metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to a process and back is pickled: the same is done here, without the seconds that processes take."""
    task = write_data(BenchmarkConfig(videos=2, frames=4, objects=2, height=60, width=80), tmp_path)[metric]
    expected, asked = METRICS[metric].score(task), []

    def by_pickle(function: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> Iterator[Any]:
        asked.append(processes)
        for job in jobs:
            yield pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(job)))))

    monkeypatch.setattr("inference.scoring.sequences.map_processes", by_pickle)
    assert METRICS[metric].score(type(task)(**{**vars(task), "workers": 3})) == expected
    assert asked == [3]
