import json
from pathlib import Path

import pytest

from inference.scoring.folders import guess_metric, score_pair
from inference.scoring.inputs import ScoreTask
from tests.support.burst_files import sequence, write_burst
from tests.support.plain_scores import frame, write_videos

ONE = frame((1, 2, 2, 8, 8))


@pytest.fixture
def task(tmp_path: Path) -> ScoreTask:
    return ScoreTask(
        truth=write_videos(tmp_path / "gt", {"ant": [ONE] * 4, "bee": [ONE] * 4}),
        masks=write_videos(tmp_path / "pred", {"ant": [ONE] * 4, "bee": [ONE] * 4}),
    )


def with_meta(task: ScoreTask, content: object) -> ScoreTask:
    meta = task.truth.parent / "meta.json"
    meta.write_text(json.dumps(content))
    return ScoreTask(truth=task.truth, masks=task.masks, meta=meta)


def test_says_what_the_folders_were_taken_for(task: ScoreTask) -> None:
    report, lines = score_pair(task)
    assert report.mean["J&F"] == 1
    assert lines == [
        f"truth {task.truth}: 2 videos, a folder of PNGs for each video",
        f"masks {task.masks}: 2 videos, a folder of PNGs for each video",
        "metric davis: J&F without the first and the last frame, mean over objects",
    ]
    one = ScoreTask(truth=task.truth / "ant", masks=task.masks / "bee")
    assert score_pair(one, "vost")[1][0] == f"truth {one.truth}: the PNGs of one video"
    write_videos(task.truth.parent / "root/Annotations/480p", {"ant": [ONE] * 4, "bee": [ONE] * 4})
    deep = ScoreTask(truth=task.truth.parent / "root", masks=task.masks)
    assert score_pair(deep)[1][0].endswith(f"in {deep.truth / 'Annotations' / '480p'}")


def test_the_metric_that_fits(task: ScoreTask, tmp_path: Path) -> None:
    for objects, metric in (
        ({"1": {"category": "dog", "frames": []}}, "youtube"),
        (["1", "2"], "mose2"),
        ({"1": {"frame_range": {"start": "1", "end": "6", "frame_nums": "2"}}}, "lvos"),
    ):
        assert guess_metric(with_meta(task, {"videos": {"ant": {"objects": objects}}})) == metric
    strange: list[object] = [{"videos": {}}, [], {"videos": []}]
    for content in strange:
        with pytest.raises(ValueError, match=r"meta\.json is no meta\.json of YouTube-VOS.*: name the --metric"):
            guess_metric(with_meta(task, content))
    burst = write_burst(tmp_path / "val/all_classes.json", sequence("dog", [{1: (2, 2, 8, 8)}], {1: 805}), names={})
    for truth in (burst, burst.parent):
        report, lines = score_pair(ScoreTask(truth=truth, masks=burst))
        assert report.mean["HOTA"] == 1 and lines[0].endswith("a file in BURST's form")
    write_videos(tmp_path / "sav", {"a/000": [ONE] * 3})
    assert guess_metric(ScoreTask(truth=tmp_path / "sav", masks=task.masks)) == "sav"


def test_a_metric_that_lacks_its_meta_json(task: ScoreTask) -> None:
    with pytest.raises(ValueError, match=r"--metric youtube needs --meta, its meta\.json"):
        score_pair(task, "youtube")
    with pytest.raises(ValueError, match="unknown metric 'davs'; expected one of davis"):
        score_pair(task, "davs")


def test_one_object_of_all_that_is_not_zero(tmp_path: Path) -> None:
    truth = write_videos(tmp_path / "gt", {"ant": [frame((255, 2, 2, 8, 8))] * 4})
    masks = write_videos(tmp_path / "pred", {"ant": [frame((1, 2, 2, 4, 8), (2, 6, 2, 4, 8))] * 4})
    assert score_pair(ScoreTask(truth=truth, masks=masks), "davis16")[0].mean["J&F"] == 1
