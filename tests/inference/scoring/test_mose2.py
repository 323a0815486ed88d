import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from inference.scoring.inputs import ScoreTask
from inference.scoring.mose2 import COLUMNS, frame_scores, score_mose2
from tests.support.paths import DATA
from tests.support.plain_scores import boundary, frame, mean, random_frames, write_videos

GOLDEN = DATA / "scores" / "mose2"
# A diagonal of 125: the cap is 1.002 pixels, just above the radius of small objects.
SIZE = (60, 110)
EMPTY = frame(size=SIZE)


@pytest.mark.parametrize("meta", [GOLDEN / "meta.json", None])
def test_equals_the_official_scorer(meta: Path | None) -> None:
    report = score_mose2(ScoreTask(truth=GOLDEN / "gt", masks=GOLDEN / "pred", meta=meta))
    official = json.loads((GOLDEN / "official.json").read_text())
    assert report.mean == pytest.approx(official["mean"], abs=1e-9)
    ours = {f"{name}/{key}": (name, key) for name, objects in report.sequences.items() for key in objects}
    assert ours.keys() == official["objects"].keys()
    for place, expected in official["objects"].items():
        name, key = ours[place]
        figures = report.sequences[name][key]
        assert figures == pytest.approx({c: expected[c] for c in COLUMNS if expected[c] is not None}, abs=1e-9)
        for measure, values in expected["frames"].items():
            assert list(report.frames[name][key][measure].values()) == pytest.approx(values, abs=1e-9)


def plain(gt: np.ndarray, pred: np.ndarray) -> tuple[float, float, float]:
    area = both = either = 0
    for a, b in zip(gt.ravel().tolist(), pred.ravel().tolist(), strict=True):
        area, both, either = area + a, both + (a and b), either + (a or b)
    diagonal = math.hypot(*gt.shape)
    cap = 0.008 * diagonal
    own = math.ceil(0.1 * math.sqrt(area)) if area else math.ceil(0.1 * diagonal)
    jaccard = (both + 1) / (either + 1)
    if own < cap:
        return jaccard, boundary(gt, pred, own), boundary(gt, pred, math.ceil(cap))
    return jaccard, boundary(gt, pred, cap), boundary(gt, pred, cap)


@pytest.mark.parametrize("seed", range(4))
def test_frames_equal_the_plain_rules(seed: int) -> None:
    # The cap is 1.97 pixels: objects of up to 10 pixels a side have a radius of 1.
    generator = np.random.default_rng(seed)
    gt, pred = np.zeros((2, 110, 220), bool)
    top, left = generator.integers(10, 60, 2)
    side = 40 if seed == 2 else int(generator.integers(3, 15))  # a tenth of 40 is above the cap
    gt[top : top + side, left : left + side] = True
    pred[top + 1 : top + side + 2, left - 1 : left + side] = seed != 3
    assert frame_scores(gt, pred) == pytest.approx(plain(gt, pred), abs=1e-12)


def test_a_small_object_is_held_to_a_smaller_radius() -> None:
    # 300x400 has a diagonal of 500, so the cap is exactly 4; a square of side 10 has its own radius of 1. Shifted by
    # two, no corner is within 1, but everything within 4.
    gt, pred = (frame((1, top, 100, 10, 10), size=(300, 400)) > 0 for top in (100, 102))
    jaccard, dot, plain_f = frame_scores(gt, pred)
    assert jaccard == (80 + 1) / (120 + 1)
    assert dot == pytest.approx(boundary(gt, pred, 1)) and dot < 1 and plain_f == 1
    # A square of side 40 would have a radius of 4, which the cap is not above: both measures use the cap.
    gt, pred = (frame((1, top, 100, 40, 40), size=(300, 400)) > 0 for top in (100, 102))
    assert frame_scores(gt, pred)[1:] == (1, 1)


def test_misses_are_not_quite_zero() -> None:
    there = frame((1, 4, 4, 3, 3), size=SIZE) > 0
    gone = np.zeros_like(there)
    assert frame_scores(there, gone) == (1 / 10, 0, 0)
    assert frame_scores(gone, there) == (1 / 10, 0, 0)
    assert frame_scores(gone, gone) == (1, 1, 1)


def test_an_object_that_leaves_and_returns(tmp_path: Path) -> None:
    # 1 is predicted perfectly where it is there, and wrongly, with 9 pixels, in the second frame of its absence.
    one = frame((1, 4, 4, 3, 3), size=SIZE)
    gt = [one, one, EMPTY, EMPTY, one, EMPTY, one, one]
    pred = [one, one, EMPTY, one, one, EMPTY, EMPTY, one]
    truth, masks = write_videos(tmp_path / "gt", {"ant": gt}), write_videos(tmp_path / "pred", {"ant": pred})
    figures = score_mose2(ScoreTask(truth=truth, masks=masks)).sequences["ant"][1]
    # Scored frames: 1, 1, (1/10 + 0)/2, 1, 1, (1/10 + 0)/2. Two absences: (1, 0.05) and (1); two returns: 1 and 0.05.
    assert figures["J&F_dot"] == pytest.approx(mean([1, 1, 0.05, 1, 1, 0.05]))
    assert figures["disappearance"] == pytest.approx(mean([mean([1, 0.05]), 1]))
    assert figures["reappearance"] == pytest.approx(mean([1, 0.05]))


def test_late_objects_and_those_without_an_absence(tmp_path: Path) -> None:
    one, both = frame((1, 4, 4, 5, 5), size=SIZE), frame((1, 4, 4, 5, 5), (2, 15, 15, 4, 4), size=SIZE)
    truth = write_videos(tmp_path / "gt", {"ant": [one, one, both, both, one, one]})
    masks = write_videos(tmp_path / "pred", {"ant": [one, one, one, both, both, one]})
    report = score_mose2(ScoreTask(truth=truth, masks=masks))
    first, second = report.sequences["ant"][1], report.sequences["ant"][2]
    assert "disappearance" not in first and "reappearance" not in first
    # 2 is not there in the first scored frame, which begins no disappearance, but its entry is a reappearance.
    assert list(report.frames["ant"][2]["J"].values()) == [1, 1 / 17, 1, 1 / 17]
    assert second["reappearance"] == pytest.approx(mean([1 / 34, 1]))
    assert second["disappearance"] == pytest.approx(1 / 34)
    assert report.mean["disappearance"] == second["disappearance"]
    assert report.mean["J&F_dot"] == pytest.approx(mean([first["J&F_dot"], second["J&F_dot"]]))


def test_ids_of_the_meta_and_surplus_ones(tmp_path: Path) -> None:
    truth = write_videos(tmp_path / "gt", {"ant": [frame((1, 4, 4, 5, 5), (3, 15, 15, 4, 4), size=SIZE)] * 4})
    masks = write_videos(tmp_path / "pred", {"ant": [frame((1, 4, 4, 5, 5), (9, 15, 15, 4, 4), size=SIZE)] * 4})
    assert list(score_mose2(ScoreTask(truth=truth, masks=masks)).sequences["ant"]) == [1, 3]
    meta = tmp_path / "meta.json"
    meta.write_text('{"videos": {"ant": {"objects": ["1", "2"]}}}')
    report = score_mose2(ScoreTask(truth=truth, masks=masks, meta=meta))
    # 2 is in neither, all along: 1 in every frame, and no run of its absence begins after the first scored frame.
    assert report.sequences["ant"] == {key: {"J&F_dot": 1, "J": 1, "F_dot": 1, "F": 1} for key in (1, 2)}
    meta.write_text('{"videos": {"bee": {"objects": ["1"]}}}')
    with pytest.raises(ValueError, match="does not list ant: give the meta.json of this ground truth"):
        score_mose2(ScoreTask(truth=truth, masks=masks, meta=meta))
    meta.write_text('{"videos": {"ant": {"objects": 3}}}')
    with pytest.raises(ValueError, match="another layout .*expected .*objects"):
        score_mose2(ScoreTask(truth=truth, masks=masks, meta=meta))


def test_a_missing_video_counts_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = frame((1, 4, 4, 5, 5), size=SIZE)
    truth = write_videos(tmp_path / "gt", {"ant": [one] * 4, "bee": [EMPTY, EMPTY, one, one, one]})
    masks = write_videos(tmp_path / "pred", {"ant": [one] * 4})
    with caplog.at_level(logging.WARNING):
        report = score_mose2(ScoreTask(truth=truth, masks=masks))
    assert "lacks bee, which count 0" in caplog.text
    assert report.sequences["bee"] == {1: {"J&F_dot": 0, "J": 0, "F_dot": 0, "F": 0}}
    assert report.mean["J&F_dot"] == 0.5 and "reappearance" not in report.mean


def test_whole_videos_equal_the_plain_rules(tmp_path: Path) -> None:
    gt, pred = random_frames(0, 9, (1, 2), SIZE), random_frames(1, 9, (1, 2), SIZE)
    truth, masks = write_videos(tmp_path / "gt", {"ant": gt}), write_videos(tmp_path / "pred", {"ant": pred})
    report = score_mose2(ScoreTask(truth=truth, masks=masks))
    for key in (1, 2):
        values = [plain(a == key, b == key) for a, b in zip(gt[1:-1], pred[1:-1], strict=True)]
        both = [(j + dot) / 2 for j, dot, _ in values]
        there = [bool((a == key).any()) for a in gt[1:-1]]
        gone: list[list[float]] = []
        back: list[list[float]] = []
        for i, value in enumerate(both):
            if i and there[i] != there[i - 1]:
                (back if there[i] else gone).append([])
            runs = back if there[i] else gone
            if runs and not all(there[k] == there[i] for k in range(i)):
                runs[-1].append(value)
        expected = {"J&F_dot": mean(both)} | dict(
            zip(("J", "F_dot", "F"), (mean(column) for column in zip(*values, strict=True)), strict=True)
        )
        for name, runs in (("disappearance", gone), ("reappearance", back)):
            if runs:
                expected[name] = mean([mean(run) for run in runs])
        assert report.sequences["ant"][key] == pytest.approx(expected, abs=1e-12)
