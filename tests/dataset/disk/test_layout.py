"""Where data sets have their files, and which one a folder holds."""

from pathlib import Path

import pytest

from dataset.disk.layout import (
    davis_base,
    davis_part,
    proposals_folder,
    proposals_root,
    require_folder,
    static_sets,
    training_part,
    youtube_every_frame,
    youtube_part,
)
from tests.support.toy_datasets import add_text, davis_2017, static_set, youtube


def test_davis(tmp_path: Path) -> None:
    part = davis_part(davis_2017(tmp_path / "trainval"))
    assert part.videos() == ["bear", "cows"] and part.training_videos() == ["bear"]
    assert (part.annotated, [path.stem for path in part.lists]) == ("every", ["train", "val"])
    assert davis_base(tmp_path, "val") == davis_base(tmp_path / "trainval", "val") == tmp_path / "trainval"
    add_text(tmp_path / "trainval/ImageSets/2017/test-dev.txt", "cows")
    assert davis_part(tmp_path / "trainval").first_only() == {"cows"}


def test_training_reads_480p_before_what_lies_above_it(tmp_path: Path) -> None:
    assert training_part(tmp_path) is None
    (tmp_path / "JPEGImages").mkdir()
    assert training_part(tmp_path) is None
    (tmp_path / "Annotations").mkdir()
    part = training_part(tmp_path)
    assert part is not None and part.frames == tmp_path / "JPEGImages"
    davis_2017(tmp_path)
    part = training_part(tmp_path)
    assert part is not None and part.frames == tmp_path / "JPEGImages/480p" and len(part.lists) == 2


def test_youtube(tmp_path: Path) -> None:
    root = youtube(tmp_path)
    assert youtube_part(root / "valid").meta == root / "valid" / "meta.json"
    assert youtube_part(root / "train_480p").meta is None
    assert youtube_every_frame(root, "valid").videos() == youtube_part(root / "valid").videos() == ["v"]


def test_static_sets_are_flat_or_have_classes(tmp_path: Path) -> None:
    static_set(tmp_path / "ecssd", 2)
    for name in ("ape", "bee"):
        static_set(tmp_path / "fss" / name, 1)
    found = {entry.name: entry for entry in static_sets(tmp_path)}
    assert {name: len(entry.pictures()) for name, entry in found.items()} == {"ecssd": 2, "fss": 2}
    assert found["fss"].folder == tmp_path / "fss" and static_sets(tmp_path / "ecssd")[0].folder == tmp_path / "ecssd"
    # A few classes alone could be sets of their own; many cannot.
    assert [entry.name for entry in static_sets(tmp_path / "fss")] == ["ape", "bee"]
    for number in range(19):
        static_set(tmp_path / "fss" / f"c{number}", 1)
    assert [entry.name for entry in static_sets(tmp_path / "fss")] == ["fss"]


@pytest.mark.parametrize(("frames", "folder"), [("JPEGImages", "Proposals"), ("JPEGImages/480p", "Proposals/480p")])
def test_proposals_lie_beside_the_frames(tmp_path: Path, frames: str, folder: str) -> None:
    assert proposals_folder(tmp_path / frames) == tmp_path / folder
    assert proposals_root(tmp_path / folder, static=False) == tmp_path


def test_proposals_of_static_sets(tmp_path: Path) -> None:
    static_set(tmp_path / "ecssd", 1)
    static_set(tmp_path / "fss" / "ape", 1)
    assert proposals_root(tmp_path / "ecssd", static=True) == tmp_path / "ecssd"
    assert proposals_root(tmp_path / "fss", static=True) == tmp_path


def test_missing_folders_are_named(tmp_path: Path) -> None:
    require_folder(tmp_path, "it", "Make it.")
    with pytest.raises(FileNotFoundError, match="it: folder .*nowhere does not exist. Make it."):
        require_folder(tmp_path / "nowhere", "it", "Make it.")
