"""Files of object proposals: what is written is read again, and all that can be wrong with one has its message."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataset.disk.proposals as proposals_module
from dataset.disk.layout import proposals_folder
from dataset.disk.proposals import (
    STATIC_NAME,
    ProposalHeader,
    Proposals,
    ProposalSettings,
    check_proposals,
    fits_rules,
    has_proposals,
    proposals_path,
    read_all,
    read_header,
    read_proposals,
    write_proposals,
)

COMMAND = "python scripts/extract_proposals.py "
FIRST, THIRD = [[0, 0, 30, 40], [5, 6, 45, 60]], [[1, 2, 65535, 4]]


def toy_proposals(*, scale: float = 0.5) -> Proposals:
    """Three frames, the second without a box, the third of another size."""
    boxes = tuple(np.array(of_frame, np.uint16).reshape(-1, 4) for of_frame in (FIRST, [], THIRD))
    header = ProposalHeader(settings=ProposalSettings(scale=scale), frames=("00000", "00005", "00010"))
    return Proposals(header=header, boxes=boxes, sizes=((60, 80), (60, 80), (50, 65535)))


def folder_with(tmp_path: Path, proposals: Proposals | None = None) -> Path:
    folder = tmp_path / "davis" / "Proposals" / "480p"
    write_proposals(folder, "bear", proposals or toy_proposals())
    return folder


def read_first(folder: Path, video: str) -> list[np.ndarray]:
    return read_proposals(folder, video, ["00000"])


def rewrite(path: Path, header: dict[str, Any] | None = None, **arrays: np.ndarray) -> None:
    """Change entries of a file's header, or whole arrays."""
    with np.load(path) as archive:
        content = dict(archive)
    changed = {**json.loads(content["header"].tobytes()), **(header or {})}
    content["header"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
    np.savez(path, **{**content, **arrays})


def test_boxes_come_back_for_the_frames_asked_for(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    third, first, second = read_proposals(folder, "bear", ["00010", "00000", "00005"])
    assert first.tolist() == FIRST and third.tolist() == THIRD
    assert second.shape == (0, 4) and {boxes.dtype for boxes in (first, second, third)} == {np.dtype(np.float32)}
    assert read_proposals(folder, "bear", []) == []


def test_a_caller_may_change_the_boxes_it_got(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    read_proposals(folder, "bear", ["00000"])[0][:] = 0
    assert read_proposals(folder, "bear", ["00000"])[0].tolist() == FIRST


def test_a_video_without_any_box_or_frame(tmp_path: Path) -> None:
    header = ProposalHeader(settings=ProposalSettings(), frames=("a",))
    write_proposals(tmp_path, "x", Proposals(header=header, boxes=(np.zeros((0, 4), np.uint16),), sizes=((4, 5),)))
    assert read_proposals(tmp_path, "x", ["a"])[0].shape == (0, 4)
    write_proposals(tmp_path, "y", Proposals(header=replace(header, frames=()), boxes=(), sizes=()))
    assert read_all(tmp_path, "y").boxes == ()


def test_the_header_alone(tmp_path: Path) -> None:
    header = read_header(folder_with(tmp_path), "bear")
    assert header == toy_proposals().header
    assert header.settings.area == (0.3**2, 0.8**2) and header.settings.aspect == (1 / 3, 3.0)


def test_equal_proposals_give_equal_bytes(tmp_path: Path) -> None:
    path = proposals_path(folder_with(tmp_path), "bear")
    before = path.read_bytes()
    folder_with(tmp_path)
    assert path.read_bytes() == before


def test_files_are_opened_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path)
    opened = []

    def counting(folder: Path, video: str) -> Proposals:
        opened.append(video)
        return read_all(folder, video)

    monkeypatch.setattr(proposals_module, "read_all", counting)
    for _ in range(3):
        read_proposals(folder, "bear", ["00000"])
    assert opened == ["bear"]
    folder_with(tmp_path, replace(toy_proposals(), boxes=toy_proposals().boxes[::-1]))
    assert read_proposals(folder, "bear", ["00000"])[0].tolist() == THIRD
    assert opened == ["bear", "bear"]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 30, 30), True),  # a share of 0.09, the smallest
        ((0, 0, 29, 30), False),
        ((20, 20, 100, 100), True),  # 0.64, the largest
        ((19, 20, 100, 100), False),
        ((0, 0, 60, 20), True),  # three to one
        ((0, 0, 61, 20), False),
        ((0, 0, 20, 60), True),
        ((0, 0, 20, 61), False),
        ((40, 40, 40, 40), False),
        ((50, 50, 0, 0), False),  # inside out
    ],
)
def test_the_rules_by_hand(box: tuple[int, ...], kept: bool) -> None:
    assert fits_rules(np.array([box], np.uint16), 100, 100).tolist() == [kept]


def test_the_rules_count_a_picture_s_area_not_its_shape() -> None:
    boxes = np.array([[0, 0, 45, 20], [0, 0, 44, 20]], np.float32)
    assert fits_rules(boxes, 50, 200).tolist() == [True, False]  # 900 of 10000 pixels, and less
    assert fits_rules(np.zeros((0, 4), np.float32), 50, 200).shape == (0,)


@pytest.mark.parametrize(
    ("images", "folder"),
    [
        ("data/DAVIS/2017/trainval/JPEGImages/480p", "data/DAVIS/2017/trainval/Proposals/480p"),
        ("data/YouTube/train_480p/JPEGImages", "data/YouTube/train_480p/Proposals"),
        ("JPEGImages", "Proposals"),
    ],
)
def test_places(images: str, folder: str) -> None:
    assert proposals_folder(Path(images)) == Path(folder)


@pytest.mark.parametrize(
    ("folder", "video", "root"),
    [
        ("d/Proposals/480p", "bear", "d"),
        ("d/Proposals", "bear", "d"),
        ("static/classes", STATIC_NAME, "static"),  # a few folders of pictures alone would be taken for sets
        ("static/flat", STATIC_NAME, "static/flat"),
        ("static/many", STATIC_NAME, "static/many"),
    ],
)
def test_a_missing_file_names_the_command(folder: str, video: str, root: str, tmp_path: Path) -> None:
    (tmp_path / "static" / "classes" / "cup").mkdir(parents=True)
    (tmp_path / "static" / "flat").mkdir()
    (tmp_path / "static" / "flat" / "0.jpg").touch()
    for number in range(21):
        (tmp_path / "static" / "many" / str(number)).mkdir(parents=True)
    expected = f"no object proposals: {tmp_path / folder / video}.npz is missing. Find them with: {COMMAND}"
    for read in (read_header, read_all, read_first):
        with pytest.raises(FileNotFoundError) as error:
            read(tmp_path / folder, video)
        assert str(error.value) == f"{expected}{tmp_path / root}"


@pytest.mark.parametrize(
    ("changed", "received"), [({"version": 2}, "corrvos-proposals 2"), ({"format": "boxes"}, "boxes 1")]
)
def test_another_version(changed: dict[str, Any], received: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    rewrite(proposals_path(folder, "bear"), changed)
    message = (
        f"proposals {folder}/bear.npz are of another version: expected corrvos-proposals 1, received {received}. "
        f"Find them anew: {COMMAND}{tmp_path}/davis"
    )
    for read in (read_header, read_all):
        with pytest.raises(ValueError, match=re.escape(message)):
            read(folder, "bear")


def test_other_frames(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    message = (
        f"proposals {folder}/bear.npz are for other frames: 2 of 3 are not among its 3, such as 00001. "
        f"Find them anew: {COMMAND}{tmp_path}/davis"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_proposals(folder, "bear", ["00000", "00001", "00002"])
    with pytest.raises(ValueError, match=re.escape(message)):
        check_proposals(folder, {"bear": ["00000", "00001", "00002"]})


def test_pictures_of_another_size(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    assert len(read_proposals(folder, "bear", ["00000", "00005"], (60, 80))) == 2
    message = (
        "are for pictures of another size: 00000 had 60x80 (height x width), now 30x40. Find them anew: "
        f"{COMMAND}{tmp_path}/davis --overwrite"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_proposals(folder, "bear", ["00000"], (30, 40))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(share: float, tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    path = proposals_path(folder, "bear")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for read in (read_header, read_all, read_first):
        with pytest.raises(ValueError, match=r"bear.npz are truncated or damaged \(.*Find them anew: python scripts"):
            read(folder, "bear")


@pytest.mark.parametrize(
    "arrays",
    [
        {"ends": np.array([2, 2], np.uint32)},
        {"ends": np.array([2, 2, 4], np.uint32)},
        {"ends": np.array([2, 2, 2], np.uint32)},
        {"ends": np.array([3, 2, 3], np.uint32)},
        {"boxes": np.zeros((3, 5), np.uint16)},
        {"boxes": np.zeros((3, 4), np.float32)},
        {"sizes": np.zeros((2, 2), np.uint16)},
        {"sizes": np.array([{}, {}, {}])},  # a pickle
    ],
)
def test_arrays_that_do_not_fit_together(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    rewrite(proposals_path(folder, "bear"), None, **arrays)
    with pytest.raises(ValueError, match=r"truncated or damaged"):
        read_all(folder, "bear")


def test_files_of_other_kinds(tmp_path: Path) -> None:
    for number, content in enumerate((b"text", b"\x80\x04N.")):
        (tmp_path / f"{number}.npz").write_bytes(content)
    with (tmp_path / "4.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    np.savez(tmp_path / "2.npz", boxes=np.zeros(3))
    np.savez(tmp_path / "3.npz", header=np.frombuffer(b"[1]", np.uint8))
    for number in range(5):
        with pytest.raises(ValueError, match=f"{number}.npz are truncated or damaged"):
            read_header(tmp_path, str(number))


def test_what_does_not_fit_the_format_is_not_written(tmp_path: Path) -> None:
    large = replace(toy_proposals(), sizes=((60, 80), (60, 80), (50, 65536)))
    with pytest.raises(ValueError, match=r"of x: frame 00010 is 50x65536 \(height x width\), expected at most 65535"):
        write_proposals(tmp_path, "x", large)
    with pytest.raises(ValueError, match="3 frames, 3 lists of boxes, 1 sizes; expected one of each"):
        write_proposals(tmp_path, "x", replace(toy_proposals(), sizes=((60, 80),)))
    assert list(tmp_path.iterdir()) == []


def test_writing_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path)

    def half(path: Path, **_: np.ndarray) -> None:
        path.write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        folder_with(tmp_path, toy_proposals(scale=0.25))
    assert read_header(folder, "bear").settings.scale == 0.5
    assert [path.name for path in folder.iterdir()] == ["bear.npz"]


def test_the_check_before_training(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    assert has_proposals(folder, "bear") and not has_proposals(folder, "cows")
    check_proposals(folder, {"bear": ["00000", "00010"]})
    videos = {"bear": ["00000"], "cows": ["00000"], "dog": ["00000"]}
    command = re.escape(f"python scripts/extract_proposals.py {tmp_path}/davis")
    with pytest.raises(FileNotFoundError, match=rf"2 of 3 videos, such as .*cows.npz, missing.*with: {command}$"):
        check_proposals(folder, videos)
    with pytest.raises(FileNotFoundError, match=rf"with: {command} --videos my/list.txt$"):
        check_proposals(folder, videos, Path("my/list.txt"))
    with pytest.raises(FileNotFoundError, match=r"no object proposals: .*flat/proposals.npz, missing"):
        check_proposals(tmp_path / "flat", {STATIC_NAME: ["0.jpg"]})
