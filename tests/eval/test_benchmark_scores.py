"""eval.py --score on miniatures of the benchmarks of today: the metric of each, from the files of each."""

from pathlib import Path

import pytest

from inference.report import read_json
from inference.scoring.folders import score_pair
from inference.scoring.inputs import ScoreTask
from tests.support.benchmarks import WRITERS
from tests.support.eval_runs import evaluate

COLUMNS = {
    "lvos": ("J&F", "J", "F", "V"),
    "lvos2": ("J&F", "J", "F", "V"),
    "vost": ("J", "J_tr"),
    "burst": ("HOTA", "DetA", "AssA"),
    "sav": ("J&F", "J", "F"),
}
TRUTH = {"lvos": "valid", "lvos2": "valid", "vost": "Annotations", "burst": "val", "sav": "sav_val/Annotations_6fps"}


@pytest.mark.parametrize("dataset", COLUMNS)
def test_scores_of_a_benchmark(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    WRITERS[dataset](Path("data"))
    words = ["--dataset", dataset, "--root", "data", "--output", "out"]
    evaluate(*words, "--checkpoint", "tiny.pth", "--size", 32, "--device", "cpu", "--score")
    table = capsys.readouterr().out
    report = read_json("out/scores.json")
    assert report.columns == COLUMNS[dataset] and " ".join(COLUMNS[dataset]) in " ".join(table.split())
    assert all(0 <= report.mean[key] < 1 for key in COLUMNS[dataset])
    # The same masks as any two folders.
    videos = ["2_break_egg"] if dataset == "vost" else None  # the others are those of other splits
    task = ScoreTask(truth=Path("data") / TRUTH[dataset], masks=Path("out"), sequences=videos)
    again, _ = score_pair(task, dataset.removesuffix("2"))
    assert again == report
