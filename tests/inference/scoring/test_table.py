from pathlib import Path

import numpy as np
import pytest

from inference.report import score_folders
from inference.scoring.table import METRICS, ScoreTask, find_metric
from util.files.palette import write_mask


def test_unknown_metrics_are_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown metric 'youtub'; expected one of youtube, "):
        find_metric("youtub")


def test_davis_is_the_scorer_of_folders(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for root in ("gt", "pred"):
        for index in range(4):
            write_mask(tmp_path / root / "ant" / f"{index:05d}.png", generator.integers(0, 3, (8, 9), dtype=np.uint8))
    task = ScoreTask(truth=tmp_path / "gt", masks=tmp_path / "pred")
    assert METRICS["davis"].score(task) == score_folders(tmp_path / "gt", tmp_path / "pred")
