"""Extraction of object proposals: boxes of a drawn picture, what is searched, and continuing where a run stopped."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import scripts.extract_proposals as script
from dataset.disk.layout import proposals_folder
from dataset.disk.proposals import (
    STATIC_NAME,
    ProposalSettings,
    check_proposals,
    fits_rules,
    read_all,
    read_header,
    read_proposals,
)
from dataset.disk.selective_search import find_boxes
from scripts.check_dataset import CheckConfig, check_dataset
from scripts.extract_proposals import ExtractConfig, Outcome, extract_proposals, find_jobs
from scripts.resize_dataset import ResizeConfig, resize_dataset
from tests.support.paths import ROOT
from tests.support.toy_datasets import add_text, add_video, davis_2017, static_set, youtube


def picture(height: int = 120, width: int = 160) -> np.ndarray:
    """Two flat rectangles on a flat ground: left, top, right, bottom are 20, 30, 80, 90 and 100, 16, 148, 104."""
    rgb = np.full((height, width, 3), 60, np.uint8)
    rgb[30:90, 20:80] = (220, 40, 40)
    rgb[16:104, 100:148] = (40, 60, 230)
    return rgb


def extract(root: Path, **options: object) -> tuple[int, int, int]:
    """Return how many files were written and skipped, and how many frames were searched."""
    outcome = run(root, **options)
    return outcome.written, outcome.skipped, outcome.frames


def run(root: Path, **options: object) -> Outcome:
    return extract_proposals(ExtractConfig(root=root, num_workers=1, **options))  # type: ignore[arg-type]


def found(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.npz"))


def test_drawn_rectangles_are_found() -> None:
    boxes = find_boxes(picture(), ProposalSettings(scale=0.5)).tolist()
    for rectangle in ([20, 30, 80, 90], [100, 16, 148, 104]):
        assert min(np.abs(np.array(boxes) - rectangle).max(axis=1)) <= 4  # two pixels of the picture searched


def test_boxes_obey_the_rules_and_come_once() -> None:
    noisy = picture() // 2 + np.random.default_rng(0).integers(0, 120, (120, 160, 1), dtype=np.uint8)
    boxes = find_boxes(cv2.GaussianBlur(noisy, (0, 0), 2), ProposalSettings(scale=0.7))
    assert len(boxes) > 5 and boxes.dtype == np.uint16
    assert fits_rules(boxes, 120, 160).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert (boxes[:, 2] <= 160).all() and (boxes[:, 3] <= 120).all()


def test_the_ranking_s_random_numbers_have_no_effect() -> None:
    boxes = []
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        boxes.append(find_boxes(picture(), ProposalSettings()))
    assert np.array_equal(boxes[0], boxes[1])


def test_a_rectangle_is_found_by_the_quality_mode_too() -> None:
    boxes = find_boxes(picture(), ProposalSettings(mode="quality", scale=0.5))
    assert min(np.abs(boxes.astype(int) - [20, 30, 80, 90]).max(axis=1)) <= 4


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (17, 33)])
def test_tiny_and_empty_pictures(shape: tuple[int, int]) -> None:
    assert find_boxes(np.zeros((*shape, 3), np.uint8), ProposalSettings(scale=0.1)).shape == (0, 4)


def test_only_what_training_reads_is_searched(tmp_path: Path) -> None:
    assert extract(davis_2017(tmp_path / "davis")) == (1, 0, 3)
    assert found(tmp_path / "davis") == ["Proposals/480p/bear.npz"]
    assert extract(youtube(tmp_path / "YouTube")) == (1, 0, 3)
    assert found(tmp_path / "YouTube") == ["train_480p/Proposals/t.npz"]
    assert extract(tmp_path / "YouTube" / "valid") == (1, 0, 5)
    add_video(tmp_path / "own" / "JPEGImages" / "a", tmp_path / "own" / "Annotations" / "a", masked=(0,))
    assert extract(tmp_path / "own") == (1, 0, 3)
    assert found(tmp_path / "own") == ["Proposals/a.npz"]


def test_the_2016_release_s_list(tmp_path: Path) -> None:
    for name in ("bear", "cows"):
        add_video(tmp_path / "JPEGImages" / "480p" / name, tmp_path / "Annotations" / "480p" / name)
        (tmp_path / "JPEGImages" / "1080p" / name).mkdir(parents=True)
    line = "/JPEGImages/480p/cows/00000.jpg /Annotations/480p/cows/00000.png"
    add_text(tmp_path / "ImageSets" / "480p" / "train.txt", line, line)
    assert [job.video for job in find_jobs(tmp_path)] == ["cows"]


def test_chosen_videos(tmp_path: Path) -> None:
    root = davis_2017(tmp_path / "davis")
    assert [job.video for job in find_jobs(root, ("cows",))] == ["cows"]
    add_text(tmp_path / "list.txt", "cows", "", "bear")
    assert [job.video for job in find_jobs(root, (str(tmp_path / "list.txt"),))] == ["bear", "cows"]
    with pytest.raises(ValueError, match=r"--videos: .*davis lacks 1 of 2 videos, such as dog. Expected names"):
        find_jobs(root, ("bear", "dog"))
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"--videos: list .*list.txt is empty. Expected a video's name on each line"):
        find_jobs(root, (str(tmp_path / "list.txt"),))


def test_static_sets(tmp_path: Path) -> None:
    root = tmp_path / "static"
    static_set(root / "flat")
    static_set(root / "classes" / "cup", 2)
    static_set(root / "classes" / "pen", 1)
    assert extract(root) == (2, 0, 6)
    assert found(root) == ["classes/proposals.npz", "flat/proposals.npz"]
    check_proposals(root / "classes", {STATIC_NAME: ["cup/0.jpg", "cup/1.jpg", "pen/0.jpg"]})
    check_proposals(root / "flat", {STATIC_NAME: ["0.jpg", "1.jpg", "2.jpg"]})
    assert extract(root / "flat") == (0, 1, 0)
    with pytest.raises(ValueError, match=r"--videos: .*flat holds static pictures"):
        extract(root / "flat", videos=("0",))


def test_a_set_of_many_classes_given_alone(tmp_path: Path) -> None:
    for number in range(21):
        static_set(tmp_path / f"class{number}", 1)
    (job,) = find_jobs(tmp_path)
    assert (job.folder, job.video, len(job.pictures)) == (tmp_path, STATIC_NAME, 21)
    assert job.pictures["class3/0.jpg"] == tmp_path / "class3" / "0.jpg"


def test_boxes_and_sizes_in_the_file_are_those_of_the_pictures(tmp_path: Path) -> None:
    root = davis_2017(tmp_path)
    frames = root / "JPEGImages" / "480p" / "bear"
    Image.fromarray(picture()).save(frames / "00001.jpg", quality=95)
    run(root)
    folder = proposals_folder(frames.parent)
    assert read_all(folder, "bear").sizes == ((32, 48), (120, 160), (32, 48))
    with Image.open(frames / "00001.jpg") as image:
        expected = find_boxes(np.asarray(image), ProposalSettings())
    (boxes,) = read_proposals(folder, "bear", ["00001"], (120, 160))
    assert len(boxes) > 1 and np.array_equal(boxes, expected)


def test_the_command_of_a_missing_file_s_message_makes_it(tmp_path: Path) -> None:
    images = davis_2017(tmp_path / "davis") / "JPEGImages" / "480p"
    static_set(tmp_path / "static" / "classes" / "cup", 1)
    for folder, video, frame in (
        (proposals_folder(images), "bear", "00000"),
        (tmp_path / "static" / "classes", STATIC_NAME, "cup/0.jpg"),
    ):
        with pytest.raises(FileNotFoundError) as error:
            check_proposals(folder, {video: [frame]})
        extract(Path(str(error.value).split()[-1]))
        check_proposals(folder, {video: [frame]})


def test_a_rerun_skips_and_equal_runs_give_equal_files(tmp_path: Path) -> None:
    root = davis_2017(tmp_path)
    file = root / "Proposals" / "480p" / "bear.npz"
    assert extract(root) == (1, 0, 3)
    before = file.read_bytes()
    assert extract(root) == (0, 1, 0)
    assert extract(root, overwrite=True) == (1, 0, 3)
    assert file.read_bytes() == before


def test_other_settings_are_refused_unless_overwritten(tmp_path: Path) -> None:
    root = davis_2017(tmp_path)
    run(root, scale=0.75)
    with pytest.raises(
        ValueError, match=r"bear.npz was made with other settings: .*scale=0.75.* now .*scale=0.5.*--ov"
    ):
        run(root)
    assert run(root, overwrite=True).written == 1
    assert read_header(root / "Proposals" / "480p", "bear").settings == ProposalSettings()


def test_files_that_can_t_be_used_are_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = davis_2017(tmp_path)
    file = root / "Proposals" / "480p" / "bear.npz"
    run(root)
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    assert extract(root) == (1, 0, 3) and file.read_bytes() == whole
    assert re.search("bear.npz are truncated or damaged", caplog.text)
    (root / "JPEGImages" / "480p" / "bear" / "00002.jpg").unlink()
    assert extract(root) == (1, 0, 2)
    assert "bear.npz is for other frames than there are now: searching again" in caplog.text


def test_a_damaged_picture_costs_only_its_own_video(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        add_video(tmp_path / "JPEGImages" / name, tmp_path / "Annotations" / name)
    damaged = tmp_path / "JPEGImages" / "b" / "00001.jpg"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"b/00001.jpg is truncated or damaged"):
        run(tmp_path)
    assert found(tmp_path) == ["Proposals/a.npz"]
    damaged.write_bytes(whole)
    assert extract(tmp_path) == (2, 1, 6)


def test_a_large_set_is_continued_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    static_set(tmp_path / "whole", 8)
    run(tmp_path / "whole")
    monkeypatch.setattr(script, "PIECE", 3)
    root = static_set(tmp_path / "pieces", 8)
    whole = (root / "5.jpg").read_bytes()
    (root / "5.jpg").write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"5.jpg is truncated or damaged"):
        run(root)
    assert found(root) == [".proposals.npz.pieces/00000000.npz"]
    with pytest.raises(ValueError, match=r"00000000.npz was made with other settings"):
        run(root, scale=0.25)
    (root / "5.jpg").write_bytes(whole)
    assert extract(root) == (1, 0, 5)
    assert found(root) == ["proposals.npz"] and not (root / ".proposals.npz.pieces").exists()
    assert (root / "proposals.npz").read_bytes() == (tmp_path / "whole" / "proposals.npz").read_bytes()


def test_the_data_set_stays_sound_and_a_smaller_copy_is_told_apart(tmp_path: Path) -> None:
    root = davis_2017(tmp_path / "davis")
    run(root)
    static_set(tmp_path / "static")
    run(tmp_path / "static")
    for checked in (root, tmp_path / "static"):
        assert check_dataset(CheckConfig(root=checked, processes=1))[2] == []
    resize_dataset(ResizeConfig(source=root, target=tmp_path / "small", size=16, processes=1))
    copied = tmp_path / "small" / "Proposals" / "480p"
    with pytest.raises(ValueError, match=r"another size: 00000 had 32x48 \(height x width\), now 16x24. .*--overwrite"):
        read_proposals(copied, "bear", ["00000"], (16, 24))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "--scale must lie in 0..1 and above 0, received 0.0."),
        ({"scale": 1.5}, "--scale must lie in 0..1 and above 0, received 1.5."),
        ({"num_workers": -1}, "--num_workers must be at least 0, received -1."),
    ],
)
def test_numbers_out_of_range(options: dict[str, float], message: str, tmp_path: Path) -> None:
    config = ExtractConfig(root=davis_2017(tmp_path))
    with pytest.raises(ValueError, match=re.escape(message)):
        extract_proposals(replace(config, **options))  # type: ignore[arg-type]


def test_roots_that_can_t_be_searched(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        run(tmp_path / "nowhere")
    add_video(tmp_path / "large" / "JPEGImages" / "1080p" / "a", tmp_path / "large" / "Annotations" / "1080p" / "a")
    with pytest.raises(
        ValueError, match=r"holds no videos that training reads: .*found 1080p. Make them with scripts/r"
    ):
        run(tmp_path / "large")
    (tmp_path / "empty" / "JPEGImages" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match="empty holds nothing to search"):
        run(tmp_path / "empty")


def test_opencv_without_the_contributed_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(ValueError, match="Selective Search needs OpenCV's contributed modules: pip install opencv-con"):
        run(davis_2017(tmp_path))


def test_the_program_with_two_processes(tmp_path: Path) -> None:
    root = davis_2017(tmp_path / "davis")
    Image.fromarray(picture()).save(root / "JPEGImages" / "480p" / "bear" / "00001.jpg")
    run(root)
    file = root / "Proposals" / "480p" / "bear.npz"
    before = file.read_bytes()
    command = [sys.executable, str(ROOT / "scripts" / "extract_proposals.py"), str(root), "--overwrite"]
    done = subprocess.run([*command, "--num_workers", "2"], capture_output=True, text=True, check=True)
    assert f"{root}: 1 files written, 0 were there already\n3 frames at " in done.stdout
    assert "searching 3 of 3" in done.stderr and re.search(r"\d\.\d\d frames/s  0:00:\d\d left", done.stderr)
    assert file.read_bytes() == before
