from pathlib import Path

import numpy as np
import pytest

from inference.scoring.inputs import ScoreTask
from inference.scoring.vost import score_vost
from tests.support.plain_scores import frame, iou, mean, random_frames, write_videos

ONE = frame((1, 2, 2, 8, 8))
HALF = frame((1, 2, 6, 8, 8))  # half of it beside the true place: 32 of 96 pixels
NONE = frame()


def score(root: Path, gt: list[np.ndarray], pred: list[np.ndarray]) -> dict[int, dict[str, float]]:
    task = ScoreTask(truth=write_videos(root / "gt", {"ant": gt}), masks=write_videos(root / "pred", {"ant": pred}))
    return score_vost(task).sequences["ant"]


def test_the_last_quarter(tmp_path: Path) -> None:
    # Six scored frames: the last quarter begins at floor(4.5) = 4, so it has two.
    figures = score(tmp_path, [ONE] * 8, [NONE, ONE, ONE, ONE, ONE, HALF, NONE, ONE])
    assert figures == {1: {"J": pytest.approx((4 + 1 / 3) / 6), "J_tr": pytest.approx(1 / 6)}}


def test_one_scored_frame(tmp_path: Path) -> None:
    assert score(tmp_path, [ONE] * 3, [NONE, HALF, NONE]) == {
        1: {"J": pytest.approx(1 / 3), "J_tr": pytest.approx(1 / 3)}
    }


def test_void_is_no_object_and_no_shelter(tmp_path: Path) -> None:
    # The first mask has void around; later the prediction of 1 covers 64 true pixels and 64 of void.
    void = frame((255, 2, 2, 8, 16), (1, 2, 2, 8, 8))
    figures = score(tmp_path, [void] * 4, [NONE] + [frame((1, 2, 2, 8, 16))] * 3)
    assert figures == {1: {"J": 0.5, "J_tr": 0.5}}


def test_gaps_late_objects_and_surplus_ids(tmp_path: Path) -> None:
    # Objects are 1..3, of which 2 never is: 1 where the prediction agrees. 4 enters late and does not count, 7 is
    # predicted only, 3 is not predicted at all.
    first, later = (
        frame((1, 2, 2, 8, 8), (3, 12, 12, 4, 4)),
        frame((1, 2, 2, 8, 8), (3, 12, 12, 4, 4), (4, 12, 2, 4, 4)),
    )
    pred = [frame((1, 2, 2, 8, 8), (7, 12, 12, 4, 4)), frame((1, 2, 2, 8, 8), (2, 12, 12, 4, 4))]
    figures = score(tmp_path, [first, later, later, later], [NONE, *pred, NONE])
    assert {key: values["J"] for key, values in figures.items()} == {1: 1, 2: 0.5, 3: 0}


def test_an_object_that_leaves_and_returns(tmp_path: Path) -> None:
    figures = score(tmp_path, [ONE, ONE, NONE, NONE, ONE, ONE], [ONE, ONE, NONE, ONE, NONE, ONE])
    assert figures[1]["J"] == mean([1, 1, 0, 0]) and figures[1]["J_tr"] == 0


def test_a_first_mask_without_objects(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shows no object in any scored sequence"):
        score(tmp_path, [frame((255, 2, 2, 3, 3)), ONE, ONE, ONE], [ONE] * 4)


def test_whole_videos_equal_the_plain_rules(tmp_path: Path) -> None:
    gt, pred = random_frames(3, 13, (1, 2, 255), (24, 32)), random_frames(4, 13, (1, 2, 5), (24, 32))
    gt[0] = frame((1, 2, 2, 8, 8), (2, 12, 12, 8, 8))
    figures = score(tmp_path, gt, pred)
    assert list(figures) == [1, 2]
    for key, values in figures.items():
        j = [iou(a == key, b == key) for a, b in zip(gt[1:-1], pred[1:-1], strict=True)]
        assert values == pytest.approx({"J": mean(j), "J_tr": mean(j[8:])}, abs=1e-12)  # floor(0.75 * 11) = 8
