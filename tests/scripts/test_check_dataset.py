"""The data set checker: every layout, every problem with its text, exit statuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.disk.recognise import find_layout
from scripts.check_dataset import CheckConfig, check_dataset, main
from tests.support.paths import ROOT
from tests.support.toy_datasets import add_frame, add_text, add_video, davis_2017, static_set, toy_ids, youtube
from util.cli import run
from util.files.palette import write_mask


def problems_of(root: Path, **options: Any) -> list[str]:
    return check_dataset(CheckConfig(root=root, processes=1, **options))[2]


def the_problem(root: Path, **options: Any) -> str:
    problems = problems_of(root, **options)
    assert len(problems) == 1, problems
    return problems[0]


def table(root: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> list[str]:
    """The printed lines of a sound data set, without repeated spaces."""
    main(CheckConfig(root=root, processes=1, **options))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_davis_2017_and_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(davis_2017(tmp_path), capsys) == [
        f"{tmp_path}: DAVIS 2017",
        "part videos frames masks objects width x height",
        "480p 2 6 6 4 48x32",
        "list ImageSets/2017/train.txt: 1 names",
        "list ImageSets/2017/val.txt: 1 names",
        "no problems",
    ]


def test_test_videos_need_their_first_mask_only(tmp_path: Path) -> None:
    base = davis_2017(tmp_path / "2017" / "trainval")
    add_video(base / "JPEGImages" / "480p" / "x", base / "Annotations" / "480p" / "x", masked=(0,))
    assert "2 of 3 frames that need a mask have none (00001.png, 00002.png)" in the_problem(tmp_path)
    add_text(base / "ImageSets" / "2017" / "test-dev.txt", "x")
    assert problems_of(tmp_path) == []
    test_dev = tmp_path / "2017" / "test-dev"
    add_video(test_dev / "JPEGImages" / "480p" / "y", test_dev / "Annotations" / "480p" / "y", masked=(0,))
    assert problems_of(tmp_path) == []
    assert [part.name for part in find_layout(tmp_path).parts] == ["2017/trainval/480p", "2017/test-dev/480p"]


def test_davis_2016_with_either_list(tmp_path: Path) -> None:
    add_video(tmp_path / "JPEGImages" / "480p" / "bear", tmp_path / "Annotations" / "480p" / "bear", objects=(255,))
    pair = "/JPEGImages/480p/bear/0000{0}.jpg /Annotations/480p/bear/0000{0}.png"
    names = tmp_path / "ImageSets" / "480p" / "train.txt"
    add_text(names, pair.format(0), pair.format(1))
    assert find_layout(tmp_path).name == "DAVIS 2016" and problems_of(tmp_path) == []
    add_text(names, pair.format(0), pair.format(7))
    assert the_problem(tmp_path) == (
        f"{names} names 2 files that are not in {tmp_path} "
        "(/JPEGImages/480p/bear/00007.jpg, /Annotations/480p/bear/00007.png). Add them."
    )


def test_youtube(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(youtube(tmp_path), capsys) == [
        f"{tmp_path}: YouTube-VOS",
        "part videos frames masks objects width x height",
        "train_480p 1 3 3 2 48x32",
        "valid 1 5 2 2 48x32",
        "all_frames/valid_all_frames 1 9 0 0 48x32",
        "no problems",
    ]


def test_what_meta_json_names(tmp_path: Path) -> None:
    valid = youtube(tmp_path) / "valid"
    meta = valid / "meta.json"
    (valid / "Annotations" / "v" / "00002.png").unlink()
    (valid / "JPEGImages" / "v" / "00004.jpg").unlink()
    add_video(valid / "JPEGImages" / "w", valid / "Annotations" / "w")
    assert problems_of(tmp_path) == [
        f"{meta} lacks 1 videos of {valid}/JPEGImages (w). Copy it again.",
        f"{valid}/JPEGImages/v: 1 frames of {meta} are missing (00004).",
        f"{valid}/Annotations/v: no mask shows object 2, which {meta} names. Copy the masks again.",
    ]
    meta.write_text("{}")
    assert f"{meta} is not a YouTube-VOS meta.json" in the_problem(tmp_path)
    meta.unlink()
    assert f"{meta} does not exist: it lists objects and the frames to write." in the_problem(tmp_path)


def test_mose_bl30k_long_videos_and_generic(tmp_path: Path) -> None:
    for part, masked in (("train", None), ("valid", (0,))):
        base = tmp_path / "MOSE" / part
        add_video(base / "JPEGImages" / "a", base / "Annotations" / "a", masked=masked)
    add_video(tmp_path / "BL30K" / "JPEGImages" / "a", tmp_path / "BL30K" / "Annotations" / "a")
    for name in ("long_video", "long_video_x3"):
        base = tmp_path / "long" / name
        add_video(base / "JPEGImages" / "a", base / "Annotations" / "a", masked=(0, 2))
    add_video(tmp_path / "mine" / "JPEGImages" / "a", tmp_path / "mine" / "Annotations" / "a", masked=(1,))
    names = {"MOSE": "MOSE", "BL30K": "BL30K", "long": "LongVideo", "mine": "generic"}
    for folder, name in names.items():
        assert find_layout(tmp_path / folder).name == name
        assert problems_of(tmp_path / folder) == []
    assert "2 of 3 frames that need a mask" in the_problem(tmp_path / "mine", every_frame=True)
    (tmp_path / "MOSE" / "valid" / "Annotations" / "a" / "00000.png").unlink()
    assert the_problem(tmp_path / "MOSE").startswith(f"{tmp_path}/MOSE/valid/Annotations/a holds no masks, ")


def test_static_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    static_set(tmp_path / "ecssd")
    soft = np.asarray(Image.fromarray(toy_ids((255,))).resize((48, 32), Image.Resampling.BICUBIC, (0.5, 0, 47, 32)))
    assert len(np.unique(soft)) > 2 and soft.max() == 255
    Image.fromarray(soft).save(tmp_path / "ecssd" / "0.png")  # soft edges are usual here
    for name in ("cat", "dog"):
        static_set(tmp_path / "fss" / name, 2, (1,))
    assert table(tmp_path, capsys) == [
        f"{tmp_path}: static pictures",
        "part videos frames masks objects width x height",
        "ecssd 3 3 3 48x32",
        "fss 4 4 4 48x32",
        "no problems",
    ]
    flat = [line for line in table(tmp_path / "ecssd", capsys, quick=True) if line.startswith("ecssd")]
    assert flat == ["ecssd 3 3 ? 48x32"]


def test_many_folders_of_pictures_are_the_classes_of_one_set(tmp_path: Path) -> None:
    for index in range(21):
        static_set(tmp_path / f"class{index}", 1)
    assert [entry.name for entry in find_layout(tmp_path).sets] == [tmp_path.name]


def test_problems_of_static_pictures(tmp_path: Path) -> None:
    static_set(tmp_path, 5)
    (tmp_path / "1.jpg").unlink()
    (tmp_path / "2.png").unlink()
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(tmp_path / "3.png")
    (tmp_path / "4.jpg").rename(tmp_path / "4.JPEG")
    assert problems_of(tmp_path) == [
        f"{tmp_path}: 1 pictures are not named x.jpg (4.JPEG). Rename them.",
        f"{tmp_path}: 1 masks x.png without a picture x.jpg (1.png). Add or remove them.",
        f"{tmp_path}: 1 of 3 pictures have no mask beside them (2.jpg). Put each mask x.png beside its picture x.jpg.",
        f"{tmp_path}: 1 masks without an object (3.png). Remove these pictures.",
    ]


def test_damaged_files(tmp_path: Path) -> None:
    davis_2017(tmp_path)
    frame = tmp_path / "JPEGImages" / "480p" / "bear" / "00001.jpg"
    mask = tmp_path / "Annotations" / "480p" / "cows" / "00002.png"
    frame.write_bytes(frame.read_bytes()[:-300])
    mask.write_bytes(b"<html>quota</html>")
    found = problems_of(tmp_path)
    assert len(found) == 2
    assert found[0].startswith(f"{frame} is truncated or damaged (") and found[0].endswith("Copy or download it again.")
    assert found[1] == f"mask {mask} is not an image file. Expected a PNG with a palette or grey ids."
    quick = the_problem(tmp_path, quick=True)  # headers do not tell that a file is too short
    assert quick == f"{mask} is not an image. Copy or download it again."


def test_masks_that_hold_no_ids(tmp_path: Path) -> None:
    masks = davis_2017(tmp_path) / "Annotations" / "480p" / "bear"
    Image.new("RGB", (48, 32)).save(masks / "00000.png")
    soft = Image.fromarray(toy_ids((255,))).resize((96, 64), Image.Resampling.BICUBIC).resize((48, 32))
    soft.rotate(20, Image.Resampling.BICUBIC).save(masks / "00001.png")
    colour, blurred = problems_of(tmp_path)
    assert f"mask {masks / '00000.png'} has mode RGB: colours are not object ids." in colour
    assert f"mask {masks / '00001.png'} is anti-aliased" in blurred
    assert "has mode RGB" in the_problem(tmp_path, quick=True)


def test_grey_with_alpha_and_large_ids_are_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = davis_2017(tmp_path) / "Annotations" / "480p" / "bear"
    Image.fromarray(toy_ids((1, 2))).convert("LA").save(masks / "00000.png")
    write_mask(masks / "00001.png", toy_ids((1, 700)))
    assert "480p 2 6 6 5 48x32" in table(tmp_path, capsys)


def test_masks_missing_stray_wrong_in_size_or_empty(tmp_path: Path) -> None:
    davis_2017(tmp_path)
    bear, cows = (tmp_path / "Annotations" / "480p" / name for name in ("bear", "cows"))
    (bear / "00001.png").rename(bear / "00009.png")
    write_mask(bear / "00002.png", np.ones((16, 24), np.uint8))
    for path in cows.iterdir():
        write_mask(path, toy_ids(()))
    assert problems_of(tmp_path) == [
        f"{bear}: 1 of 3 frames that need a mask have none (00001.png). Add the masks or remove the frames.",
        f"{bear}: 1 masks have no frame of their name (00009.png). Name masks after their frames, or remove them.",
        f"{bear}: 1 masks differ in size from their frames (00002; 00002: mask 24x16, frame 48x32). "
        "Resize the masks with nearest neighbour, or the frames.",
        f"{cows}: no mask holds an object. Give object ids of 1 and above, or remove the video.",
    ]


def test_folders_and_frames(tmp_path: Path) -> None:
    davis_2017(tmp_path)
    frames, masks = tmp_path / "JPEGImages" / "480p", tmp_path / "Annotations" / "480p"
    (masks / "ghost").mkdir()
    (frames / "empty").mkdir()
    add_frame(frames / "bear" / "00001.jpg", 40, 60)
    (masks / "bear" / "00001.png").unlink()
    write_mask(masks / "bear" / "00001.png", np.ones((40, 60), np.uint8))
    (frames / "cows" / "clip.mp4").write_bytes(b"")
    assert problems_of(tmp_path) == [
        f"{masks}/ghost has no frames in {frames}. Add them or remove it.",
        f"{frames}/bear: frames of different sizes: 2 of 48x32 (from 00000), 1 of 60x40 (from 00001). "
        "Resize them to one size.",
        f"{frames}/cows: 1 files are no JPEG or PNG (clip.mp4). Convert or remove them.",
        f"{frames}/empty holds no frames. Add them or remove the folder and the video's name from lists.",
    ]


def test_annotations_that_are_missing_altogether(tmp_path: Path) -> None:
    add_video(tmp_path / "JPEGImages" / "a", None)
    assert the_problem(tmp_path) == (
        f"{tmp_path}/Annotations does not exist, {tmp_path}/JPEGImages does. Add the masks."
    )


def test_lists(tmp_path: Path) -> None:
    davis_2017(tmp_path)
    train, val = (tmp_path / "ImageSets" / "2017" / f"{name}.txt" for name in ("train", "val"))
    add_text(train, "bear", "camel")
    add_text(val)
    subset = tmp_path.parent / "subset.txt"
    add_text(subset, "cows", "dog")
    remedy = "Add the videos or remove the lines."
    assert problems_of(tmp_path, lists=(subset,)) == [
        f"list {subset} names 1 videos that are not in {tmp_path} (dog). {remedy}",
        f"list {train} names 1 videos that are not in {tmp_path}/JPEGImages/480p (camel). {remedy}",
        f"list {val} is empty: expected one video per line. Copy it again or remove it.",
    ]
    with pytest.raises(FileNotFoundError, match="list .*none.txt does not exist: expected a text file"):
        problems_of(tmp_path, lists=(tmp_path / "none.txt",))


def test_wrong_roots(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="data set .*nowhere does not exist: expected a folder"):
        find_layout(tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match="has none of the layouts: expected JPEGImages.* found nothing. Check the path."
    ):
        find_layout(tmp_path)
    davis_2017(tmp_path / "DAVIS")
    with pytest.raises(ValueError, match=f"found DAVIS. Give one of {tmp_path}/DAVIS."):
        find_layout(tmp_path)
    with pytest.raises(ValueError, match="has none of the layouts"):  # a video's frames are no static pictures
        find_layout(tmp_path / "DAVIS" / "JPEGImages" / "480p" / "bear")


def test_problems_are_printed_up_to_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    static_set(tmp_path, 4)
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(CheckConfig(root=tmp_path, processes=1, show=2))
    lines = capsys.readouterr().out.splitlines()
    assert stop.value.code == 1 and sum(line.startswith("- mask") for line in lines) == 2
    assert lines[-2:] == ["- and 1 more (--show 0 prints all)", "3 problems: see above what to mend"]


def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    davis_2017(tmp_path / "d")
    command = [sys.executable, str(ROOT / "scripts" / "check_dataset.py"), "d", "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.endswith("no problems\n") and "checking 100% (2 of 2)" in done.stderr
    with pytest.raises(SystemExit) as stop:
        run(main, CheckConfig, "check_dataset.py", "", [str(tmp_path / "e"), "--quick"])
    assert stop.value.code == 2
    expected = f"error: data set {tmp_path}/e does not exist: expected a folder. Check the path.\n"
    assert capsys.readouterr().err == expected
