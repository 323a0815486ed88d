"""eval.py --score on miniatures of the benchmarks of today: the metric of each, from the files of each."""

from pathlib import Path

import numpy as np
import pytest

from inference.report import read_json
from inference.scoring.folders import score_pair
from inference.scoring.inputs import ScoreTask
from tests.support.benchmarks import WRITERS
from tests.support.eval_runs import D16, evaluate
from util.files.palette import read_mask, write_mask

COLUMNS = {
    "mose2": ("J&F_dot", "J", "F_dot", "F", "disappearance", "reappearance"),
    "lvos": ("J&F", "J", "F", "V"),
    "lvos2": ("J&F", "J", "F", "V"),
    "vost": ("J", "J_tr"),
    "burst": ("HOTA", "DetA", "AssA"),
    "sav": ("J&F", "J", "F"),
}
TRUTH = {
    "mose2": "train",
    "lvos": "valid",
    "lvos2": "valid",
    "vost": "Annotations",
    "burst": "val",
    "sav": "sav_val/Annotations_6fps",
}


def test_davis_2016_is_scored_as_one_object() -> None:
    # The sequences show two objects; predicted is their union, under other ids, and something else at both ends.
    truth = Path("davis/trainval/Annotations/480p")
    for folder in truth.iterdir():
        files = sorted(folder.iterdir())
        for file in files:
            mask = read_mask(file)
            assert {1, 2} <= set(mask.ravel().tolist())
            union = np.where(mask > 0, 7, 0) if file not in (files[0], files[-1]) else np.where(mask > 0, 0, 1)
            write_mask(Path("out") / folder.name / file.name, union.astype(np.uint8))
    evaluate(*D16, "--output", "out", "--score_only")
    report = read_json("out/scores.json")
    assert report.mean["J&F"] == 1 and all(list(objects) == [1] for objects in report.sequences.values())


@pytest.mark.parametrize("dataset", COLUMNS)
def test_scores_of_a_benchmark(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    WRITERS[dataset](Path("data"))
    split = "train" if dataset == "mose2" else "val"  # val's ground truth is its server's
    words = ["--dataset", dataset, "--root", "data", "--output", "out", "--split", split]
    evaluate(*words, "--checkpoint", "tiny.pth", "--size", 32, "--device", "cpu", "--score")
    table = capsys.readouterr().out
    report = read_json("out/scores.json")
    assert report.columns == COLUMNS[dataset] and " ".join(COLUMNS[dataset]) in " ".join(table.split())
    assert all(0 <= report.mean.get(key, 0) < 1 for key in COLUMNS[dataset])
    # The same masks as any two folders.
    videos = ["2_break_egg"] if dataset == "vost" else None  # the others are those of other splits
    task = ScoreTask(truth=Path("data") / TRUTH[dataset], masks=Path("out"), sequences=videos)
    again, _ = score_pair(task, {"lvos2": "lvos"}.get(dataset, dataset))
    assert again == report
