"""Smaller copies of data sets: same layout, ids and palettes kept, resumed, never larger."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.check_dataset import CheckConfig, check_dataset
from scripts.resize_dataset import ResizeConfig, main, resize_dataset, smaller_shape
from tests.support.paths import ROOT
from tests.support.toy_datasets import add_frame, add_video, davis_2017, static_set, toy_ids, youtube
from util.files.palette import davis_palette, read_mask, write_mask


def resize(source: Path, target: Path, size: int = 16) -> tuple[int, int, int, int]:
    config = ResizeConfig(source=source, target=target, size=size, processes=1)
    outcome = resize_dataset(config)
    return outcome.resized, outcome.copied, outcome.skipped, len(outcome.problems)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("make", [davis_2017, youtube])
def test_the_copy_is_a_sound_data_set_of_the_same_layout(make: object, tmp_path: Path) -> None:
    source, target = make(tmp_path / "a"), tmp_path / "b"  # type: ignore[operator]
    (source / "README.md").write_text("about")
    resize(source, target)
    assert files(target) == sorted([*files(source), "resized.json"])
    assert check_dataset(CheckConfig(root=target, processes=1))[2] == []
    for name in files(source):
        if name.endswith((".jpg", ".png")):
            with Image.open(target / name) as image:
                assert image.size == (24, 16)
        else:
            assert (target / name).read_bytes() == (source / name).read_bytes()


def test_masks_keep_ids_palette_and_mode(tmp_path: Path) -> None:
    masks = davis_2017(tmp_path / "a") / "Annotations" / "480p" / "bear"
    write_mask(masks / "00001.png", toy_ids((3, 700)))
    Image.fromarray(toy_ids((9,))).convert("LA").save(masks / "00002.png")
    resize(tmp_path / "a", tmp_path / "b")
    copies = tmp_path / "b" / "Annotations" / "480p" / "bear"
    for name, objects in (("00000", (1, 2)), ("00001", (3, 700)), ("00002", (9,))):
        # Halved with nearest neighbour, squares with even corners keep every other pixel.
        assert np.array_equal(read_mask(copies / f"{name}.png"), toy_ids(objects)[::2, ::2])
    modes = []
    for name in ("00000", "00001", "00002"):
        with Image.open(copies / f"{name}.png") as image:
            modes.append(image.mode)
    with Image.open(copies / "00000.png") as image:
        palette = image.getpalette() or []
    assert modes == ["P", "I;16", "LA"]
    assert np.array_equal(np.array(palette).reshape(-1, 3), davis_palette()[: len(palette) // 3])


def test_frames_are_averaged_and_masks_are_not(tmp_path: Path) -> None:
    source = davis_2017(tmp_path / "a")
    board = (np.indices((32, 48)).sum(0) % 2 * 200).astype(np.uint8)
    video = source / "JPEGImages" / "480p" / "png"
    video.mkdir()
    Image.fromarray(board).save(video / "00000.png")
    unsupervised = source / "Annotations_unsupervised" / "480p" / "png"
    unsupervised.mkdir(parents=True)
    Image.fromarray(board).save(unsupervised / "00000.png")
    Image.fromarray(board).save(source / "logo.png")
    resize(source, tmp_path / "b")
    for name, values in (("JPEGImages", {100}), ("Annotations_unsupervised", {0})):
        with Image.open(tmp_path / "b" / name / "480p" / "png" / "00000.png") as image:
            # A nearest pixel of a halved chessboard is one of its fields: all have the same colour.
            found = set(np.unique(np.asarray(image)).tolist())
            assert found == values
            assert image.size == (24, 16)
    assert (tmp_path / "b" / "logo.png").read_bytes() == (source / "logo.png").read_bytes()


def test_static_pictures_with_soft_masks(tmp_path: Path) -> None:
    static_set(tmp_path / "a" / "ecssd")
    static_set(tmp_path / "a" / "fss" / "cat")
    soft = Image.fromarray(toy_ids((255,))).rotate(20, Image.Resampling.BICUBIC)
    soft.save(tmp_path / "a" / "ecssd" / "0.png")
    assert resize(tmp_path / "a", tmp_path / "b") == (12, 0, 0, 0)
    with Image.open(tmp_path / "b" / "ecssd" / "0.png") as image:
        assert image.mode == "L" and set(np.unique(np.asarray(image))) <= set(np.unique(np.asarray(soft)))
    assert check_dataset(CheckConfig(root=tmp_path / "b", processes=1))[2] == []


def test_small_files_are_copied_unchanged(tmp_path: Path) -> None:
    source = davis_2017(tmp_path / "a")
    assert resize(source, tmp_path / "b", size=32) == (0, 14, 0, 0)
    for name in files(source):
        assert (tmp_path / "b" / name).read_bytes() == (source / name).read_bytes()


def test_shapes() -> None:
    assert smaller_shape(1080, 1920, 480) == (480, 853)
    assert smaller_shape(1920, 1080, 480) == (853, 480)
    assert smaller_shape(480, 854, 480) == (480, 854) and smaller_shape(300, 200, 480) == (300, 200)


def test_a_run_that_was_broken_off_continues(tmp_path: Path) -> None:
    source, target = davis_2017(tmp_path / "a"), tmp_path / "b"
    resize(source, target)
    lost = target / "JPEGImages" / "480p" / "bear" / "00001.jpg"
    kept = target / "JPEGImages" / "480p" / "bear" / "00000.jpg"
    lost.unlink()
    (lost.parent / ".00001.1-abcd.tmp.jpg").write_bytes(b"half")
    written = kept.stat().st_mtime_ns
    assert resize(source, target) == (1, 0, 13, 0)
    assert lost.is_file() and kept.stat().st_mtime_ns == written
    assert not list(target.rglob(".*.tmp*"))
    with pytest.raises(ValueError, match="holds a copy of other settings: .*'size': 16.*'size': 20.*Choose another"):
        resize(source, target, size=20)


def test_damaged_files_are_named_and_made_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = davis_2017(tmp_path / "a"), tmp_path / "b"
    frame = source / "JPEGImages" / "480p" / "bear" / "00001.jpg"
    mask = source / "Annotations" / "480p" / "cows" / "00000.png"
    empty = source / "JPEGImages" / "480p" / "cows" / "00000.jpg"
    frame.write_bytes(frame.read_bytes()[:-300])
    Image.new("RGB", (48, 32)).save(mask)
    empty.write_bytes(b"")
    config = ResizeConfig(source=source, target=target, size=16, processes=1)
    with pytest.raises(SystemExit) as stop:
        main(config)
    lines = capsys.readouterr().out.splitlines()
    assert stop.value.code == 1
    assert lines[0] == f"{target}: 9 files resized, 2 copied, 0 were there already"
    assert lines[1].startswith(f"- mask {mask} has mode RGB: colours are not object ids.")
    assert lines[2].startswith(f"- frame {frame} is truncated or damaged")
    assert lines[3].startswith(f"- {empty} is no image, or damaged")
    assert lines[4] == "3 files are missing in the copy: mend them in the source and run this again"
    assert not any((target / path.relative_to(source)).exists() for path in (frame, mask, empty))
    add_frame(frame)
    add_frame(empty)
    write_mask(mask, toy_ids())
    assert resize(source, target) == (3, 0, 11, 0)


def test_places_and_values_that_are_refused(tmp_path: Path) -> None:
    source = davis_2017(tmp_path / "a")
    config = ResizeConfig(source=source, target=source / "small", processes=1)
    (tmp_path / "link").symlink_to(source)
    for target in (source / "small", source, tmp_path / "link" / "small"):
        with pytest.raises(ValueError, match="the copy .* would lie inside its source .*. Choose another place."):
            resize_dataset(replace(config, target=target))
    assert not (source / "small").exists()
    add_video(tmp_path / "c" / "JPEGImages" / "x", None)
    with pytest.raises(ValueError, match=f"{tmp_path}/c exists and was not made by this program"):
        resize_dataset(replace(config, target=tmp_path / "c"))
    target = tmp_path / "d"
    for values, text in (({"size": 8}, "--size must be at least 16"), ({"quality": 0}, "--quality must lie in 1..95")):
        with pytest.raises(ValueError, match=text):
            resize_dataset(replace(config, target=target, **values))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="data set .*nowhere does not exist"):
        resize_dataset(replace(config, source=tmp_path / "nowhere", target=target))
    assert not target.exists()


def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    source = davis_2017(tmp_path / "a")
    videos = source / "JPEGImages" / "480p"
    (videos / "bear").rename(tmp_path / "bear")
    (videos / "bear").symlink_to(tmp_path / "bear")
    (source / "circle").symlink_to(source)
    assert resize(source, tmp_path / "b") == (12, 2, 0, 0)
    assert not (tmp_path / "b" / "JPEGImages" / "480p" / "bear").is_symlink()


def test_the_program_with_two_processes(tmp_path: Path) -> None:
    davis_2017(tmp_path / "a")
    script = str(ROOT / "scripts" / "resize_dataset.py")
    command = [sys.executable, script, "a", "b", "--size", "16", "--processes", "2", "--quality", "70"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "b: 12 files resized, 2 copied, 0 were there already\n"
    assert "resizing 100% (14 of 14)" in done.stderr
    resize(tmp_path / "a", tmp_path / "c")
    frame = Path("JPEGImages") / "480p" / "bear" / "00000.jpg"
    assert (tmp_path / "b" / frame).stat().st_size < (tmp_path / "c" / frame).stat().st_size
