"""Where a benchmark's videos are: lists, folders, and the frames that are wanted."""

from pathlib import Path

import pytest

from dataset.disk.frames import FolderFrames
from dataset.disk.layout import plain_part
from dataset.evaluate.files import all_videos, plain_files, read_list, require_list
from tests.support.toy_datasets import add_text, add_video


def test_a_video_of_plain_folders(tmp_path: Path) -> None:
    add_video(tmp_path / "JPEGImages/bear", tmp_path / "Annotations/bear", 3, masked=(0, 2))
    part = plain_part(tmp_path)
    found = plain_files(part, wanted={"bear": {"00001"}})("bear")
    assert found.frames == tmp_path / "JPEGImages/bear" and found.wanted == {"00001"} and not found.objects
    assert list(found.masks(FolderFrames(found.frames), True)) == ["00000", "00002"]
    assert plain_files(part)("bear").wanted is None and plain_files(part, wanted={})("bear").wanted is None
    (tmp_path / "Annotations/bear/00000.png").unlink()
    with pytest.raises(ValueError, match="no mask for the first frame"):
        found.masks(FolderFrames(found.frames), True)
    assert list(found.masks(FolderFrames(found.frames), False)) == ["00002"]


def test_lists(tmp_path: Path) -> None:
    add_text(tmp_path / "val.txt", "b", "a")
    assert read_list(tmp_path / "val.txt") == require_list(tmp_path / "val.txt") == ("b", "a")
    add_text(tmp_path / "val.txt")
    with pytest.raises(ValueError, match="list of videos .*val.txt is empty"):
        read_list(tmp_path / "val.txt")
    with pytest.raises(FileNotFoundError, match="list of videos .*none.txt does not exist"):
        require_list(tmp_path / "none.txt")


def test_all_videos_are_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no videos in .*JPEGImages: expected a folder of frames"):
        all_videos(plain_part(tmp_path))
