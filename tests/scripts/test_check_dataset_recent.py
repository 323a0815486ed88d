"""The checker on miniatures of MOSE, LVOS, VOST, BURST and SA-V: sound ones, and what may be wrong with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset.disk.recognise import find_layout
from scripts.check_dataset import CheckConfig, check_dataset, summary
from scripts.resize_dataset import ResizeConfig, resize_dataset
from tests.support.benchmarks import WRITERS, write_burst, write_lvos, write_sav, write_sav_train, write_vost
from util.files.palette import write_mask

NAMES = {"mose": "MOSE", "lvos": "LVOS", "vost": "VOST", "burst": "BURST", "sav": "SA-V"}


def checked(root: Path, quick: bool = False) -> tuple[list[list[str]], list[str]]:
    """The table's rows in words, and the problems."""
    layout, findings, problems = check_dataset(CheckConfig(root=root, processes=1, quick=quick))
    return [line.split() for line in summary(layout, findings, quick).splitlines()[2:]], problems


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("dataset", [*NAMES])
def test_sound_sets(tmp_path: Path, dataset: str, quick: bool) -> None:
    root = WRITERS[dataset](tmp_path / "data")
    assert find_layout(root).name == NAMES[dataset]
    _, problems = checked(root, quick)
    assert problems == []


def test_counts(tmp_path: Path) -> None:
    rows, _ = checked(write_lvos(tmp_path / "lvos"))
    assert rows[:2] == [["train", "1", "9", "8", "2", "64x48"], ["valid", "2", "18", "16", "4", "64x48"]]
    rows, _ = checked(write_vost(tmp_path / "vost"))
    assert rows[0] == [".", "2", "18", "18", "4", "64x48"]  # 255 is no object
    rows, _ = checked(write_burst(tmp_path / "burst"))
    assert [row[:3] for row in rows] == [["val/LaSOT", "1", "9"], ["val/YFCC100M", "1", "9"]]
    rows, _ = checked(write_sav(tmp_path / "sav"))
    assert rows[0] == ["sav_val", "2", "66", "36", "4", "64x48"]
    rows, problems = checked(write_sav_train(tmp_path / "train"))
    assert rows[0] == ["sav_train", "1", "24", "6", "2", "64x48"] and problems == []


def test_lvos(tmp_path: Path) -> None:
    root = write_lvos(tmp_path)
    for name in ("00000016", "00000021", "00000026", "00000031", "00000036", "00000041"):
        (root / "valid/Annotations/Ab1" / f"{name}.png").unlink()
    (root / "valid/JPEGImages/Cd2/00000041.jpg").unlink()
    meta = root / "valid/valid_meta.json"
    _, problems = checked(root)
    assert (
        f"{root}/valid/Annotations/Ab1: no mask shows object 2, which {meta} names. Copy the masks again." in problems
    )
    assert f"{root}/valid/JPEGImages/Cd2: 1 frames of {meta} are missing (00000041)." in problems
    meta.write_text(json.dumps({"videos": {"Ab1": {"objects": {"1": {"frame_range": {"start": "x"}}}}}}))
    assert any("frame_range of Ab1, object 1: expected start and end" in problem for problem in checked(root)[1])


def test_burst(tmp_path: Path) -> None:
    root = write_burst(tmp_path)
    (root / "frames/val/LaSOT/bear-2/img0002.jpg").unlink()
    shutil.rmtree(root / "frames/val/YFCC100M")
    path = root / "val/all_classes.json"
    content = json.loads(path.read_text())
    content["sequences"][0]["height"] = 40
    path.write_text(json.dumps(content))
    (root / "val/first_frame_annotations.json").unlink()
    _, problems = checked(root)
    assert problems[:3] == [
        f"{path} names 1 of 2 sequences that have no frames (YFCC100M-v_f69e). Add the frames.",
        f"{path}: LaSOT-bear-2 lacks 1 frames (img0002.jpg). Add the frames.",
        f"{path}: LaSOT-bear-2 has 64x40 pixels, its frames 64x48.",
    ]
    with pytest.raises(ValueError, match="is BURST, whose masks are run lengths at the frames' size"):
        resize_dataset(ResizeConfig(source=root, target=tmp_path.parent / "smaller"))


def test_sav(tmp_path: Path) -> None:
    root = write_sav(tmp_path)
    masks = root / "sav_val/Annotations_6fps"
    (masks / "sav_000001/001/00000.png").unlink()
    write_mask(masks / "sav_000001/000/00004.png", np.ones((4, 5), np.uint8))
    (masks / "sav_000002/000").rename(masks / "sav_000002/dog")
    (root / "sav_val/sav_val.txt").write_text("sav_000001\nsav_000002\nsav_000003\n")
    _, problems = checked(root)
    found = "\n".join(problems)
    assert f"{masks}/sav_000001: 1 of 2 frames that need a mask have none (001/00000.png)." in found
    assert "1 masks differ in size from their frames (000/00004; 000/00004: mask 5x4, frame 64x48)" in found
    assert f"{masks}/sav_000002 holds dog: expected a folder of binary PNGs for each object, 000, 001" in found
    assert "sav_val.txt names 1 videos that are not in" in found


def test_sav_train(tmp_path: Path) -> None:
    root = write_sav_train(tmp_path)
    path = root / "sav_000/sav_000001_manual.json"
    content = json.loads(path.read_text())
    content["masklet"] += content["masklet"]
    path.write_text(json.dumps(content))
    assert "sav_000001.mp4 has 24 frames, its masklets 12, each 4. Copy both again." in checked(root)[1][0]
    path.with_name("sav_000001.mp4").unlink()
    assert "has no film: expected sav_000001.mp4 beside it" in checked(root)[1][0]


def test_vost_needs_its_masks(tmp_path: Path) -> None:
    root = write_vost(tmp_path)
    (root / "Annotations/2_break_egg/frame00018.png").unlink()
    frame = root / "JPEGImages/2_break_egg/frame00012.jpg"
    frame.write_bytes(frame.read_bytes()[:300])
    _, problems = checked(root)
    assert any("1 of 9 frames that need a mask have none (frame00018.png)" in problem for problem in problems)
    assert any("frame00012.jpg is truncated or damaged" in problem for problem in problems)
