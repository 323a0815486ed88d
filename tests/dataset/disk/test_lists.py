"""Names from lists and folders: every form that lists have, and what is no name."""

from pathlib import Path

import pytest

from dataset.disk.lists import check_name, read_lines, read_names, read_training_list, read_video_list, subfolders
from tests.support.toy_datasets import add_text

PAIR = "/JPEGImages/480p/{0}/{1:05d}.jpg /Annotations/480p/{0}/{1:05d}.png "


def test_plain_names_and_paths_of_images(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    add_text(path, "bear", "", " blue car ", "10", "bear")
    assert read_names(path) == ["bear", "blue car", "10"]
    add_text(path, *(PAIR.format(name, number) for name in ("dogs", "bear") for number in (0, 1)))
    assert read_names(path) == ["dogs", "bear"]
    add_text(path, PAIR.format("dogs", 0), "bear")
    assert read_names(path) == ["dogs", "bear"]


def test_marks_of_windows_editors_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_bytes("\ufeffbear\r\nf\u00fcchse\r\n\r\n".encode())
    assert read_names(path) == read_lines(path) == ["bear", "f\u00fcchse"]
    path.write_bytes("bear\r\n".encode("utf-16"))
    with pytest.raises(ValueError, match="val.txt is no text in UTF-8 .*Save it as UTF-8"):
        read_names(path)


@pytest.mark.parametrize(
    "name",
    ["../../home/x", "../480p/x", "a/b", "/bear", "..", ".", ".git", "a\\b", "C:bear", "be\x07ar", "/../00000.jpg"],
)
def test_paths_are_no_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "val.txt"
    add_text(path, "bear", name)
    with pytest.raises(ValueError, match=r"val.txt, name 2: .* is no plain name. Expected that of a file or folder"):
        read_names(path)


def test_what_is_no_text_is_no_name() -> None:
    assert check_name("bear", "here") == "bear"
    for name in (None, 3, ""):
        with pytest.raises(ValueError, match="here: .* is no plain name"):
            check_name(name, "here")


def test_lists_name_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    add_text(path, "b", "a", "b")
    assert read_video_list("--val_list", path, "d17 val", {"a", "b"}.__contains__) == ["b", "a"]
    with pytest.raises(ValueError, match=r"--val_list .*val.txt names 1 videos that d17 val lacks, such as b\."):
        read_video_list("--val_list", path, "d17 val", {"a"}.__contains__)


def test_the_newest_release_counts_in_training(tmp_path: Path) -> None:
    lists = {release: tmp_path / release / "train.txt" for release in ("480p", "2016", "2017")}
    assert read_training_list([]) is None
    for release, path in lists.items():
        add_text(path, PAIR.format(f"of{release}", 0) if release == "480p" else f"of{release}")
        assert read_training_list(tmp_path.glob("*/*.txt")) == ([f"of{release}"], release)


def test_folders_come_in_natural_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("10", "9", ".tmp", "bear"):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("")
    assert subfolders(tmp_path) == ["9", "10", "bear"]
    assert subfolders(tmp_path / "nowhere") == []
