"""Where the splits of the older benchmarks are found, apart from how they are opened (`test_protocols`)."""

from pathlib import Path

import pytest

from dataset.evaluate.files import Query
from dataset.evaluate.splits import davis_2016, davis_2017, generic, long_videos, youtube_vos
from tests.support.toy_datasets import add_text, add_video, youtube
from tests.support.toy_datasets import davis_2017 as write_davis_2017


def query(dataset: str, root: Path, split: str = "val", sparse: bool = False) -> Query:
    return Query(dataset=dataset, split=split, root=root, sparse=sparse)


def test_davis_2016_prefers_its_own_list_and_reads_plain_names_in_the_first_release(tmp_path: Path) -> None:
    for name in ("bear", "bus"):
        add_video(tmp_path / "JPEGImages/480p" / name, tmp_path / "Annotations/480p" / name)
    assert davis_2016(query("d16", tmp_path)).videos == ("bear", "bus")
    add_text(tmp_path / "ImageSets/480p/val.txt", "bus")
    assert davis_2016(query("d16", tmp_path)).videos == ("bus",)
    add_text(tmp_path / "ImageSets/2016/val.txt", "bear")
    assert davis_2016(query("d16", tmp_path)).videos == ("bear",)


def test_davis_2017_below_trainval_or_as_it_is(tmp_path: Path) -> None:
    part = write_davis_2017(tmp_path / "trainval")
    for root in (tmp_path, part):
        found = davis_2017(query("d17", root))
        assert found.videos == ("cows",) and found.part.frames == part / "JPEGImages/480p"
    with pytest.raises(FileNotFoundError, match="d17 test-dev: folder .*test-dev/JPEGImages/480p does not exist"):
        davis_2017(query("d17", tmp_path, "test-dev"))


def test_youtube_takes_all_frames_and_the_annotated_ones_masks(tmp_path: Path) -> None:
    root = youtube(tmp_path)
    found = youtube_vos(query("y19", root))
    assert found.part.frames == root / "all_frames/valid_all_frames/JPEGImages"
    assert found.part.masks == root / "valid/Annotations" and found.meta == root / "valid/meta.json"
    assert youtube_vos(query("y19", root, sparse=True)).part.frames == root / "valid/JPEGImages"
    assert found.files("v").wanted == {f"{frame:05d}" for frame in range(5)}


def test_long_and_generic(tmp_path: Path) -> None:
    add_video(tmp_path / "long_video_x3/JPEGImages/rat", tmp_path / "long_video_x3/Annotations/rat")
    assert long_videos(query("lv3", tmp_path)).videos == ("rat",)
    with pytest.raises(FileNotFoundError, match="lv1: folder .*long_video/JPEGImages does not exist"):
        long_videos(query("lv1", tmp_path))
    assert generic(query("g", tmp_path / "long_video_x3")).videos == ("rat",)
