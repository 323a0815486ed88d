from pathlib import Path

import numpy as np
import pytest

from inference.output.coco import CocoWriter
from inference.report import score_folders
from inference.scoring.inputs import plan_sequences
from tests.support.bombs import write_bomb
from tests.support.plain_scores import frame, write_videos

ONE = frame((1, 2, 2, 8, 8))


def test_headers_that_promise_too_much_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = write_videos(tmp_path / "gt", {"ant": [ONE] * 4, "bee": [ONE] * 3})
    masks = write_videos(tmp_path / "pred", {"ant": [ONE] * 4, "bee": [ONE] * 3})
    write_bomb(masks / "ant" / "00001.png", 50000, 50000)
    write_bomb(masks / "ant" / "00002.png", 2**31 - 1, 1)
    write_bomb(truth / "bee" / "00001.png", 50000, 50000)
    monkeypatch.setattr("inference.scoring.masks.read_mask", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(ValueError) as caught:
        score_folders(truth, masks)
    for place in (masks / "ant" / "00001.png", truth / "bee" / "00001.png"):
        assert f"{place} says that it has 50000x50000 pixels; masks of more than 89,478,485 are not read" in str(
            caught.value
        )
    assert f"{masks / 'ant' / '00002.png'} says that it has 2147483647x1 pixels" in str(caught.value)


def test_one_video_needs_no_name(tmp_path: Path) -> None:
    write_videos(tmp_path, {"truth": [ONE] * 4, "results": [ONE] * 4, "all/ant": [ONE] * 4})
    writer = CocoWriter("clip")
    for index in range(4):
        writer.add(f"{index:05d}", ONE)
    writer.write(tmp_path / "clip.json")
    for gt, pred, name in (
        ("truth", "results", "truth"),
        ("truth", "all", "ant"),
        ("all", "results", "ant"),
        ("truth", "clip.json", "truth"),
        ("clip.json", "all", "ant"),
    ):
        [plan] = plan_sequences(tmp_path / gt, tmp_path / pred)
        assert plan.name == name and plan.scored == ("00001", "00002")
        assert score_folders(tmp_path / gt, tmp_path / pred).mean["J&F"] == 1


def test_overlapping_masks_of_coco_files_are_scored_one_by_one(tmp_path: Path) -> None:
    import json

    from pycocotools import mask as run_lengths

    def rle(mask: np.ndarray) -> dict[str, object]:
        found = run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8))
        return {"size": [24, 32], "counts": found["counts"].decode("ascii")}

    big, small = frame((1, 2, 2, 8, 8)) > 0, frame((1, 4, 4, 2, 2)) > 0
    content = {
        "images": [{"id": i, "file_name": f"{i:05d}.jpg", "height": 24, "width": 32} for i in range(3)],
        "annotations": [
            {"id": 2 * i + k, "image_id": i, "track_id": k + 1, "segmentation": rle(mask)}
            for i in range(3)
            for k, mask in enumerate((big, small))
        ],
    }
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(content))
    report = score_folders(tmp_path / "a.json", tmp_path / "b.json")
    assert {key: figures["J-Mean"] for key, figures in report.sequences["a"].items()} == {1: 1, 2: 1}
