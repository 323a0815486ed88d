"""MOSE, LVOS, VOST, BURST and SA-V as evaluation reads them: videos, given masks, frames run and written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset.evaluate.protocols import find_evaluation_set
from dataset.evaluate.video import Video, open_dataset
from tests.support.benchmarks import (
    FRAMES,
    WRITERS,
    ids_of,
    overlapping,
    write_burst,
    write_lvos,
    write_mose,
    write_sav,
    write_vost,
)


def given(video: Video) -> dict[str, list[int] | None]:
    return {frame.name: frame.object_ids for frame in video.frames(-1) if frame.mask is not None}


def first_mask(video: Video) -> np.ndarray:
    return next(frame.mask.numpy() for frame in video.frames(-1) if frame.mask is not None)


@pytest.mark.parametrize("dataset", ["mose", "mose2"])
def test_mose_gives_the_first_mask_and_wants_every_frame(tmp_path: Path, dataset: str) -> None:
    root = write_mose(tmp_path)
    videos = open_dataset(dataset, root=root)
    assert [video.name for video in videos] == ["a1b2", "c3d4"]
    assert given(videos[0]) == {"00000": [1, 2]}
    assert videos[0].wanted_names == videos[0].frame_names == [f"{frame:05d}" for frame in range(FRAMES)]
    evaluation = find_evaluation_set(dataset, root=root)
    assert (evaluation.archive, evaluation.scored, evaluation.mem_every, evaluation.size) == ("davis", False, 5, 480)
    train = find_evaluation_set(dataset, split="train", root=root)
    assert train.scored and train.metric == ("davis" if dataset == "mose" else "mose2")
    assert train.metric_meta == root / "meta_train.json"


@pytest.mark.parametrize("valid", ["valid", "val"])  # the README and the evaluation code spell it differently
@pytest.mark.parametrize("dataset", ["lvos", "lvos2"])
def test_lvos_gives_each_object_where_it_enters(tmp_path: Path, dataset: str, valid: str) -> None:
    root = write_lvos(tmp_path, valid)
    videos = open_dataset(dataset, root=root)
    assert [video.name for video in videos] == ["Ab1", "Cd2"]
    assert given(videos[0]) == {"00000006": [1], "00000016": [2]}
    assert videos[0].wanted_names == [f"{1 + 5 * frame:08d}" for frame in range(FRAMES)]
    evaluation = find_evaluation_set(dataset, root=root)
    assert (evaluation.metric, evaluation.archive) == ("lvos", None)
    assert evaluation.metric_meta == root / valid / f"{valid}_meta.json"
    assert evaluation.metric_list == root / valid / "unseen_videos.txt"
    test = find_evaluation_set(dataset, split="test", root=root)
    assert not test.scored and test.archive == ("youtube" if dataset == "lvos" else None)
    assert [given(video) for video in open_dataset(dataset, split="test", root=root)] == [given(videos[0])]


def test_vost_drops_what_is_not_annotated(tmp_path: Path) -> None:
    root = write_vost(tmp_path)
    [video] = open_dataset("vost", root=root)
    assert video.name == "2_break_egg" and given(video) == {"frame00012": [1]}
    np.testing.assert_array_equal(first_mask(video), ids_of(0, {1: 0}) * (np.arange(64) < 61))
    assert video.wanted_names == [f"frame{6 * frame + 12:05d}" for frame in range(FRAMES)]
    assert find_evaluation_set("vost", root=root).metric == "vost"
    with pytest.raises(FileNotFoundError, match="1 of 1 videos of vost test have no folder in .*: 3_fold_towel"):
        open_dataset("vost", split="test", root=root)


def test_burst_gives_first_masks_and_wants_annotated_frames(tmp_path: Path) -> None:
    root = write_burst(tmp_path)
    (root / "frames/val/LaSOT/bear-2/later.jpg").write_bytes(b"of no list")
    videos = open_dataset("burst", root=root)
    assert [video.name for video in videos] == ["LaSOT-bear-2", "YFCC100M-v_f69e"]
    assert videos[0].frame_names == [f"img{frame + 1:04d}" for frame in range(FRAMES)]
    assert videos[0].wanted_names == ["img0001", "img0004", "img0007"]
    assert given(videos[0]) == {"img0001": [7], "img0004": [9]}
    np.testing.assert_array_equal(first_mask(videos[0]), 7 * ids_of(0, {1: 0}))
    evaluation = find_evaluation_set("burst", root=root)
    assert (evaluation.size, evaluation.enlarge, evaluation.mem_every, evaluation.archive) == (600, True, 10, "burst")
    # Without the file of first masks the full annotations give the same.
    (root / "val/first_frame_annotations.json").unlink()
    assert given(open_dataset("burst", root=root)[0]) == {"img0001": [7], "img0004": [9]}


def test_sav_reads_objects_that_overlap(tmp_path: Path) -> None:
    root = write_sav(tmp_path)
    videos = open_dataset("sav", root=root)
    assert [video.name for video in videos] == ["sav_000001", "sav_000002"]
    assert dict(videos[0].objects) == {"000": 1, "001": 2}
    assert len(videos[0]) == 4 * FRAMES - 3
    assert videos[0].wanted_names == [f"{4 * frame:05d}" for frame in range(FRAMES)]
    assert given(videos[0]) == {"00000": [1, 2]}
    whole, part = overlapping(0)
    # The smaller object lies on top.
    np.testing.assert_array_equal(first_mask(videos[0]), np.where(part, 2, np.where(whole, 1, 0)))
    assert [video.name for video in open_dataset("sav", root=root / "sav_val")] == ["sav_000001", "sav_000002"]


@pytest.mark.parametrize(
    ("dataset", "gone", "message"),
    [
        (
            "mose",
            "valid",
            "mose val: folder .*valid/JPEGImages does not exist. The root is the folder that",
        ),
        ("mose2", "valid/Annotations/a1b2/00000.png", "no mask in .*valid/Annotations/a1b2"),
        ("lvos", "valid", "lvos val: folder .*valid/JPEGImages does not exist"),
        ("lvos2", "valid/JPEGImages/Cd2", "1 of 2 videos of lvos2 val have no folder in .*: Cd2"),
        ("vost", "ImageSets/val.txt", "list of videos .*val.txt does not exist"),
        ("vost", "Annotations", "masks .*2_break_egg of video .* do not exist"),
        ("burst", "val", "val holds neither first_frame_annotations.json nor all_classes.json"),
        ("burst", "frames/val/LaSOT/bear-2/img0003.jpg", "bear-2 lacks 1 of 9 frames, such as img0003.jpg"),
        ("sav", "sav_val/sav_val.txt", "list of videos .*sav_val.txt does not exist"),
        ("sav", "sav_val/Annotations_6fps/sav_000002", "masks .*sav_000002 do not exist: expected a folder for each"),
        ("sav", "sav_val/Annotations_6fps/sav_000002/001/00000.png", "no mask for the first frame: .*001/00000.png"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, dataset: str, gone: str, message: str) -> None:
    root = WRITERS[dataset](tmp_path)
    shutil.rmtree(root / gone) if (root / gone).is_dir() else (root / gone).unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        open_dataset(dataset, root=root)


def test_masks_of_another_layout_are_named(tmp_path: Path) -> None:
    root = write_sav(tmp_path / "sav")
    masks = root / "sav_val/Annotations_6fps/sav_000001"
    (masks / "001").rename(masks / "dog")
    with pytest.raises(ValueError, match="sav_000001 holds dog: expected a folder of binary PNGs for each object, 000"):
        open_dataset("sav", root=root)
    shutil.rmtree(masks)
    shutil.copytree(root / "sav_val/Annotations_6fps/sav_000002/000", masks)
    with pytest.raises(ValueError, match="sav_000001 holds PNGs or nothing: expected a folder of binary PNGs"):
        open_dataset("sav", root=root)


def test_names_in_annotations_are_names(tmp_path: Path) -> None:
    root = write_burst(tmp_path)
    path = root / "val/first_frame_annotations.json"
    content = json.loads(path.read_text())
    content["sequences"][0]["seq_name"] = "../../x"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"'../../x' is no plain name"):
        open_dataset("burst", root=root)
    root = write_lvos(tmp_path / "lvos")
    meta = root / "valid/valid_meta.json"
    meta.write_text(meta.read_text().replace("Cd2", "../../x"))
    with pytest.raises(ValueError, match=r"valid_meta.json, videos: '../../x' is no plain name"):
        open_dataset("lvos", root=root)
