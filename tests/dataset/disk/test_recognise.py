"""Which data set a folder holds."""

from pathlib import Path

import pytest

from dataset.disk.recognise import find_layout
from tests.support.benchmarks import WRITERS, write_sav_train
from tests.support.toy_datasets import add_video, davis_2017, static_set, youtube


def test_every_set_is_recognised(tmp_path: Path) -> None:
    names = {"mose": "MOSE", "lvos": "LVOS", "vost": "VOST", "burst": "BURST", "sav": "SA-V"}
    for dataset, name in names.items():
        assert find_layout(WRITERS[dataset](tmp_path / dataset)).name == name
    assert find_layout(davis_2017(tmp_path / "trainval")).name == "DAVIS 2017"
    assert find_layout(youtube(tmp_path / "tube")).name == "YouTube-VOS"
    assert find_layout(static_set(tmp_path / "ecssd")).name == "static pictures"
    add_video(tmp_path / "mine/JPEGImages/a", tmp_path / "mine/Annotations/a")
    assert find_layout(tmp_path / "mine").name == "generic"


def test_parts(tmp_path: Path) -> None:
    assert [part.name for part in find_layout(WRITERS["lvos"](tmp_path / "l")).parts] == ["train", "valid", "test"]
    burst = find_layout(WRITERS["burst"](tmp_path / "b"))
    assert [part.name for part in burst.parts] == ["val/LaSOT", "val/YFCC100M"]
    assert [path.name for path in burst.annotations] == ["all_classes.json", "first_frame_annotations.json"]
    assert [path.name for path in find_layout(write_sav_train(tmp_path / "s")).films] == ["sav_000001_manual.json"]
    assert [part.objects for part in find_layout(WRITERS["sav"](tmp_path / "v")).parts] == [True]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    davis_2017(tmp_path / "DAVIS")
    with pytest.raises(ValueError, match=f"found DAVIS. Give one of {tmp_path}/DAVIS."):
        find_layout(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: expected a folder"):
        find_layout(tmp_path / "nowhere")
