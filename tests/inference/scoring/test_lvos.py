import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from inference.scoring.inputs import ScoreTask
from inference.scoring.lvos import score_lvos
from tests.support.paths import DATA
from tests.support.plain_scores import boundary, davis_radius, frame, iou, mean, random_frames, write_videos

GOLDEN = DATA / "scores" / "lvos"


def test_equals_the_official_scorer() -> None:
    report = score_lvos(ScoreTask(truth=GOLDEN / "Annotations", masks=GOLDEN / "pred"))
    official = json.loads((GOLDEN / "official.json").read_text())
    assert report.mean["J&F"] == pytest.approx(official["J&F"], abs=1e-9)
    for measure in ("J", "F", "V"):
        for kind in ("seen", "unseen"):
            expected = official[kind][measure]["mean"]
            assert report.mean[f"{measure}-{kind.title()}"] == pytest.approx(expected, abs=1e-9)
        for place, expected in official["all"][measure]["per_object"].items():
            name, number = place.split("_")
            key = sorted(report.sequences[name])[int(number) - 1]
            assert report.sequences[name][key][measure] == pytest.approx(expected, abs=1e-9)


def write(root: Path, gt: dict[str, list[np.ndarray]], pred: dict[str, list[np.ndarray]], **ranges: dict) -> ScoreTask:
    """Write a data set of LVOS's layout; ranges: VIDEO={id: (start, end, frame_nums)}."""
    write_videos(root / "Annotations", gt, start=1, step=5, digits=8)
    write_videos(root / "pred", pred, start=1, step=5, digits=8)
    videos = {
        name: {
            "objects": {
                str(key): {"frame_range": {"start": str(start), "end": str(end), "frame_nums": str(count)}}
                for key, (start, end, count) in objects.items()
            }
        }
        for name, objects in ranges.items()
    }
    (root / "valid_meta.json").write_text(json.dumps({"videos": videos}))
    (root / "unseen_videos.txt").write_text("bee\n")
    return ScoreTask(truth=root / "Annotations", masks=root / "pred")


ONE, BOTH, NONE = frame((1, 2, 2, 8, 8)), frame((1, 2, 2, 8, 8), (2, 12, 12, 8, 8)), frame()


def test_ranges_of_objects(tmp_path: Path) -> None:
    # 1 is there from 1 to 31, 2 enters at 16; the first and the last frame of each object do not count, in which the
    # prediction shows nothing. In 11 the prediction misses 1, a total miss.
    gt = [ONE, ONE, ONE, BOTH, BOTH, BOTH, BOTH]
    pred = [NONE, ONE, NONE, ONE, BOTH, BOTH, NONE]
    task = write(tmp_path, {"ant": gt}, {"ant": pred}, ant={1: (1, 31, 7), 2: (16, 31, 4)})
    report = score_lvos(task)
    assert list(report.frames["ant"][1]["J"]) == [f"{number:08d}" for number in (6, 11, 16, 21, 26)]
    assert list(report.frames["ant"][1]["J"].values()) == [1, 0, 1, 1, 1]
    assert report.frames["ant"][2]["F"] == {"00000021": 1, "00000026": 1}
    # The variance of (1, 0, 1, 1, 1) is 0.16.
    assert report.sequences["ant"][1] == pytest.approx({"J&F": 0.8, "J": 0.8, "F": 0.8, "V": 0.4})
    assert report.sequences["ant"][2]["V"] == 0
    # One kind only: it stands alone.
    assert report.mean["J&F"] == pytest.approx(0.9) and "J-Unseen" not in report.mean


def test_seen_and_unseen_weigh_the_same(tmp_path: Path) -> None:
    gt = {"ant": [BOTH] * 4, "bee": [ONE] * 4}
    pred = {"ant": [BOTH] * 4, "bee": [NONE] * 4}
    task = write(tmp_path, gt, pred, ant={1: (1, 16, 4), 2: (1, 16, 4)}, bee={1: (1, 16, 4)})
    report = score_lvos(task)
    assert (report.mean["J-Seen"], report.mean["J-Unseen"], report.mean["J&F"], report.mean["J"]) == (1, 0, 0.5, 0.5)
    (tmp_path / "unseen_videos.txt").write_text("\ufeffant\r\nbee\r\n")
    assert score_lvos(task).mean["J&F"] == pytest.approx(2 / 3)
    other = tmp_path / "list.txt"
    other.write_text("")
    assert "J-Unseen" not in score_lvos(ScoreTask(truth=task.truth, masks=task.masks, names=other)).mean


def test_the_variance_is_rounded_to_four_places(tmp_path: Path) -> None:
    # J is 63/64 in one of two frames, F is 1: J&F 1 and 127/128; a variance of 1.5e-5, which rounds to 0.
    almost = ONE.copy()
    almost[2, 2] = 0
    report = score_lvos(write(tmp_path, {"ant": [ONE] * 4}, {"ant": [ONE, ONE, almost, ONE]}, ant={1: (1, 16, 4)}))
    assert report.sequences["ant"][1] == pytest.approx({"J": 127 / 128, "F": 1, "J&F": 255 / 256, "V": 0})


def test_odd_ranges(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gt = {"ant": [BOTH] * 6}
    # 1 promises a frame more than its range has: it counts 0. 2 and 3 have too few: none is left.
    task = write(tmp_path, gt, gt, ant={1: (1, 26, 7), 2: (1, 6, 2), 3: (6, 6, 1)})
    with caplog.at_level(logging.WARNING):
        report = score_lvos(task)
    assert "ant: objects of fewer than three frames are left out" in caplog.text
    assert list(report.sequences["ant"]) == [1] and report.sequences["ant"][1]["J"] == pytest.approx(4 / 5)
    with pytest.raises(ValueError, match="ant: object 1: 3 frames count from 1 to 26, but frame_nums 4 leaves"):
        score_lvos(write(tmp_path, gt, gt, ant={1: (1, 26, 4)}))


def test_problems_are_named(tmp_path: Path) -> None:
    task = write(tmp_path, {"ant": [ONE] * 4}, {"ant": [ONE] * 4}, ant={1: (1, 16, 4)}, cow={1: (1, 16, 4)})
    with pytest.raises(ValueError, match=r"cow: unknown sequence"):
        score_lvos(task)
    (tmp_path / "pred/ant/00000006.png").unlink()
    with pytest.raises(ValueError, match=r"ant: 1 of 2 frames missing in .*pred/ant: 00000006"):
        score_lvos(ScoreTask(truth=task.truth, masks=task.masks, sequences=["ant"]))
    (tmp_path / "unseen_videos.txt").unlink()
    with pytest.raises(FileNotFoundError, match="list of unseen videos .* does not exist"):
        score_lvos(task)
    (tmp_path / "valid_meta.json").write_text('{"videos": {"ant": {"objects": {"1": {"frame_range": {"start": 1}}}}}}')
    with pytest.raises(ValueError, match=r"valid_meta\.json has another layout .*frame_nums"):
        score_lvos(task)
    (tmp_path / "valid_meta.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds 0 named \*_meta\.json\. Give it with --meta"):
        score_lvos(task)


def test_whole_videos_equal_the_plain_rules(tmp_path: Path) -> None:
    size = (100, 130)  # a diagonal of 164: a radius of 2
    gt, pred = random_frames(0, 8, (1, 2), size), random_frames(1, 8, (1, 2, 3), size)
    task = write(tmp_path, {"ant": gt}, {"ant": pred}, ant={1: (1, 36, 8), 2: (11, 31, 5)})
    report = score_lvos(task)
    for key, first, last in ((1, 1, 6), (2, 3, 5)):
        j = [iou(gt[t] == key, pred[t] == key) for t in range(first, last + 1)]
        f = [boundary(gt[t] == key, pred[t] == key, davis_radius(gt[t])) for t in range(first, last + 1)]
        both = [(a + b) / 2 for a, b in zip(j, f, strict=True)]
        variance = round(mean([(value - mean(both)) ** 2 for value in both]), 4)
        expected = {"J&F": mean(both), "J": mean(j), "F": mean(f), "V": math.sqrt(variance)}
        assert report.sequences["ant"][key] == pytest.approx(expected, abs=1e-12)
