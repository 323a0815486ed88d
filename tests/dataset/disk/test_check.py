"""The check of one video, task by task."""

from pathlib import Path

import numpy as np
from PIL import Image

from dataset.disk.check import VideoTask, check
from dataset.disk.check_pictures import PicturesTask
from tests.support.toy_datasets import add_video, static_set, toy_ids
from util.files.palette import write_mask


def task_of(root: Path, **changes: object) -> VideoTask:
    fields: dict[str, object] = {"part": "p", "name": "v", "frames": root / "f", "masks": root / "m"}
    return VideoTask(**{**fields, "annotated": "every", **changes})  # type: ignore[arg-type]


def test_a_sound_video(tmp_path: Path) -> None:
    add_video(tmp_path / "f", tmp_path / "m", 3)
    found = check(task_of(tmp_path))
    assert (found.frames, found.masks, found.problems) == (3, 3, ())
    assert found.objects == {1: "00000", 2: "00000"} and found.frame_names == {"00000", "00001", "00002"}
    assert check(PicturesTask(part="p", folder=static_set(tmp_path / "s"), stems=("0",))).pictured == 1


def test_which_frames_need_a_mask(tmp_path: Path) -> None:
    add_video(tmp_path / "f", tmp_path / "m", 3, masked=(1,))
    assert "2 of 3 frames that need a mask have none" in check(task_of(tmp_path)).problems[0]
    assert "1 of 1 frames that need a mask have none" in check(task_of(tmp_path, annotated="first")).problems[0]
    assert check(task_of(tmp_path, annotated="some")).problems == ()


def test_void_is_no_object(tmp_path: Path) -> None:
    add_video(tmp_path / "f", tmp_path / "m", 1)
    ids = toy_ids()
    ids[-3:] = 255
    write_mask(tmp_path / "m/00000.png", ids)
    assert set(check(task_of(tmp_path)).objects) == {1, 2, 255}
    assert set(check(task_of(tmp_path, void=255)).objects) == {1, 2}


def test_objects_in_folders(tmp_path: Path) -> None:
    add_video(tmp_path / "f", None, 2)
    (tmp_path / "m/004").mkdir(parents=True)
    Image.fromarray((toy_ids() > 0).astype(np.uint8) * 255).save(tmp_path / "m/004/00000.png")
    found = check(task_of(tmp_path, annotated="first", objects=True))
    assert found.objects == {5: "004/00000"} and found.problems == ()
