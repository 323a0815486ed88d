from pathlib import Path

import numpy as np
import pytest

from inference.scoring.inputs import ScoreTask
from inference.scoring.sav import score_sav
from tests.support.plain_scores import boundary, davis_radius, frame, iou, mean, random_frames, write_videos

ON, OFF = frame((255, 2, 2, 8, 8)), frame()
Objects = dict[str, list[np.ndarray]]


def score(root: Path, gt: Objects, pred: Objects) -> dict[int, dict[str, float]]:
    """Score a video with a folder for each object, masks every fourth frame."""
    truth = write_videos(root / "gt", {f"sav_1/{key}": masks for key, masks in gt.items()}, step=4)
    masks = write_videos(root / "pred", {f"sav_1/{key}": masks for key, masks in pred.items()}, step=4)
    return score_sav(ScoreTask(truth=truth, masks=masks)).sequences["sav_1"]


def test_an_object_counts_from_where_it_appears(tmp_path: Path) -> None:
    # 000 enters with the third scored frame, predicted perfectly; 001 is predicted a frame too early; 002 leaves,
    # returns and is missed once. The first and the last frame do not count.
    gt = {"000": [OFF, OFF, OFF, ON, ON, ON], "001": [OFF, OFF, OFF, ON, ON, ON], "002": [ON, ON, OFF, OFF, ON, ON]}
    pred = {"000": [ON, OFF, OFF, ON, ON, OFF], "001": [OFF, OFF, ON, ON, ON, ON], "002": [ON, ON, OFF, OFF, OFF, ON]}
    figures = score(tmp_path, gt, pred)
    assert {key: values["J"] for key, values in figures.items()} == {0: 1, 1: pytest.approx(2 / 3), 2: 0.75}


def test_objects_may_overlap_and_hold_any_value(tmp_path: Path) -> None:
    ones = [frame((1, 2, 2, 8, 8))] * 3
    assert score(tmp_path, {"000": [ON] * 3, "001": [ON] * 3}, {"000": ones, "001": ones}) == {
        0: {"J&F": 1, "J": 1, "F": 1},
        1: {"J&F": 1, "J": 1, "F": 1},
    }


def test_problems_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shows its object in no scored frame"):
        score(tmp_path / "a", {"000": [ON, OFF, ON]}, {"000": [ON, ON, ON]})
    with pytest.raises(ValueError, match="sav_1, object 001: 1 of 1 frames missing in .*001: 00004"):
        score(tmp_path / "b", {"000": [ON] * 3, "001": [ON] * 3}, {"000": [ON] * 3})
    with pytest.raises(ValueError, match="holds cat; expected a folder for each object, 000"):
        score(tmp_path / "c", {"cat": [ON] * 3}, {"cat": [ON] * 3})
    with pytest.raises(ValueError, match=r"2 ground-truth frame\(s\) leave nothing to score"):
        score(tmp_path / "d", {"000": [ON] * 2}, {"000": [ON] * 2})
    several = frame((1, 2, 2, 8, 8), (2, 12, 12, 4, 4))
    with pytest.raises(ValueError, match=r"00004\.png holds 3 values; expected one object"):
        score(tmp_path / "e", {"000": [ON] * 3}, {"000": [several] * 3})


def test_ids_in_one_folder_follow_the_same_rule(tmp_path: Path) -> None:
    one, late = frame((1, 2, 2, 8, 8)), frame((1, 2, 2, 8, 8), (2, 12, 12, 4, 4))
    surplus = frame((1, 2, 2, 8, 8), (9, 12, 12, 4, 4))
    truth = write_videos(tmp_path / "gt", {"ant": [one, one, late, late, late]})
    masks = write_videos(tmp_path / "pred", {"ant": [one, surplus, late, surplus, late]})
    report = score_sav(ScoreTask(truth=truth, masks=masks))
    assert {key: values["J"] for key, values in report.sequences["ant"].items()} == {1: 1, 2: 0.5}
    assert list(report.frames["ant"][2]["J"]) == ["00002", "00003"]


def test_whole_videos_equal_the_plain_rules(tmp_path: Path) -> None:
    size = (100, 130)
    gt, pred = random_frames(5, 8, (1,), size), random_frames(6, 8, (1,), size)
    figures = score(tmp_path, {"007": gt}, {"007": pred})[7]
    pairs = [(a > 0, b > 0) for a, b in zip(gt[1:-1], pred[1:-1], strict=True)]
    while not pairs[0][0].any() and not pairs[0][1].any():
        del pairs[0]
    j, f = mean([iou(a, b) for a, b in pairs]), mean([boundary(a, b, davis_radius(a)) for a, b in pairs])
    assert figures == pytest.approx({"J&F": (j + f) / 2, "J": j, "F": f}, abs=1e-12)
