import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.disk.frames import open_frames
from inference.output import film, writer
from inference.output.coco import read_coco
from inference.output.finished import is_finished
from inference.output.writer import ResultWriter, read_probabilities
from util.files.palette import overlay, read_mask

HEIGHT, WIDTH = 31, 45
NAMES = [f"{index:05d}" for index in range(20)]


def ids(index: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4:20, index : index + 12] = 1 + index % 3
    return mask


def picture(index: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 60 + 5 * index, np.uint8)


def no_threads() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith(("results", "overlay"))]


def test_everything_is_written_and_read_again(tmp_path: Path) -> None:
    masks, probs, film = tmp_path / "masks" / "bear", tmp_path / "probs" / "bear", tmp_path / "overlay" / "bear.mp4"
    prob = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    with ResultWriter(masks, probs=probs, overlay=film, fps=10) as results:
        for index, name in enumerate(NAMES):
            results.write(name, ids(index), rgb=picture(index), prob=prob * index, object_ids=[3, 700])
        assert not masks.exists() and not film.exists()
    assert is_finished(NAMES, masks, probs=probs, overlay=film) and no_threads()
    assert sorted(file.stem for file in masks.iterdir()) == NAMES
    for index, name in enumerate(NAMES):
        assert np.array_equal(read_mask(masks / f"{name}.png"), ids(index))
    with Image.open(masks / "00000.png") as image:
        assert image.mode == "P" and image.size == (WIDTH, HEIGHT)
    read, object_ids = read_probabilities(probs / "00002.npz")
    assert object_ids == [3, 700] and read.dtype == np.float16
    assert np.array_equal(read, (prob * 2).half().numpy())
    source = open_frames(film)
    assert source.fps == 10 and source.size == (HEIGHT + 1, WIDTH + 1)
    for index, (_, rgb) in enumerate(source.read()):
        assert np.abs(rgb[:HEIGHT, :WIDTH].astype(float) - overlay(picture(index), ids(index))).mean() < 8
    assert [entry.name for entry in tmp_path.rglob(".*")] == []


def test_the_coco_file_holds_the_masks_that_are_written(tmp_path: Path) -> None:
    masks, coco = tmp_path / "bear", tmp_path / "coco" / "bear.json"
    with ResultWriter(masks, coco=coco) as results:
        for index, name in enumerate(NAMES):
            results.write(name, ids(index), wanted=index % 5 == 0)
        assert not coco.exists()
    assert is_finished(NAMES[::5], masks, coco=coco)
    read = read_coco(coco)
    assert read.names == NAMES[::5] and read.object_ids == [1, 2, 3]
    for index in range(0, 20, 5):
        np.testing.assert_array_equal(read.id_mask(NAMES[index]), ids(index))
    coco.unlink()
    assert not is_finished(NAMES[::5], masks, coco=coco)


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "bear") as results:
        results.write("a", ids(0), rgb=picture(0), prob=torch.zeros(2, HEIGHT, WIDTH))
        results.write("b", ids(1), wanted=False)
    assert sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.*")) == ["bear/a.png"]


def test_unwanted_frames_are_in_the_overlay_only(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "bear", overlay=tmp_path / "bear.mp4") as results:
        for index, name in enumerate(NAMES):
            results.write(name, ids(index), rgb=picture(index), wanted=index % 5 == 0)
    assert sorted(file.stem for file in (tmp_path / "bear").iterdir()) == NAMES[::5]
    assert len(open_frames(tmp_path / "bear.mp4").names) == 20


def test_an_unfinished_video_leaves_nothing_and_keeps_the_older_run(tmp_path: Path) -> None:
    masks, film = tmp_path / "bear", tmp_path / "bear.mp4"
    with ResultWriter(masks, overlay=film) as results:
        results.write("old", ids(0), rgb=picture(0))
    content = film.read_bytes()
    with pytest.raises(KeyboardInterrupt), ResultWriter(masks, overlay=film) as results:
        results.write("new", ids(1), rgb=picture(1))
        raise KeyboardInterrupt
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "bear", "bear.mp4", "bear/old.png",
    ]  # fmt: skip
    assert film.read_bytes() == content and no_threads()


def test_a_new_run_replaces_the_older_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with ResultWriter(tmp_path / "bear") as results:
            results.write(name, ids(0))
    assert [path.name for path in (tmp_path / "bear").iterdir()] == ["new.png"]


def test_errors_of_the_threads_surface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, mask: np.ndarray) -> None:
        raise OSError(28, f"cannot write {path.name}: No space left on device.")

    monkeypatch.setattr(writer, "write_mask", fail)
    with pytest.raises(OSError, match="cannot write a.png: No space left"), ResultWriter(tmp_path / "x") as results:
        results.write("a", ids(0))
    written = 0
    with pytest.raises(OSError, match="cannot write 00000.png"), ResultWriter(tmp_path / "x") as results:
        for index, name in enumerate(NAMES):
            results.write(name, ids(index))
            written += 1
    assert written < len(NAMES), "a long video stops soon after the error"
    assert list(tmp_path.iterdir()) == [] and no_threads()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as caught, ResultWriter(tmp_path / "file" / "bear"):
        pass
    assert str(caught.value.strerror).startswith(f"cannot write {tmp_path / 'file' / 'bear'}: ")
    with pytest.raises(OSError), ResultWriter(tmp_path / "bear", overlay=tmp_path / "file" / "bear.mp4"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["../bear", "a/b", "", ".hidden", "..", "C:\\bear", "new\nline"])
def test_a_frames_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="results of bear, frame: .* is no plain name"):
        with ResultWriter(tmp_path / "masks" / "bear", probs=tmp_path / "probs") as results:
            results.write(name, ids(0), prob=torch.zeros(1, HEIGHT, WIDTH))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("folder", [".", "..", ".hidden"])
def test_a_videos_folder_has_a_plain_name(folder: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="results of a video: .* is no plain name"):
        ResultWriter(f"/{folder}" if folder == "." else tmp_path / folder)


def test_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an overlay needs the frame's `rgb`"):
        with ResultWriter(tmp_path / "bear", overlay=tmp_path / "bear.mp4") as results:
            results.write("a", ids(0))
    with pytest.raises(ValueError, match="the probabilities' file needs `prob`"):
        with ResultWriter(tmp_path / "bear", probs=tmp_path / "probs") as results:
            results.write("a", ids(0))


def test_finished_means_every_file(tmp_path: Path) -> None:
    assert not is_finished(["a"], tmp_path / "bear")
    with ResultWriter(tmp_path / "bear") as results:
        results.write("a", ids(0))
    assert is_finished(["a"], tmp_path / "bear")
    assert not is_finished(["a", "b"], tmp_path / "bear")
    assert not is_finished(["a"], tmp_path / "bear", probs=tmp_path / "probs")
    assert not is_finished(["a"], tmp_path / "bear", overlay=tmp_path / "bear.mp4")


def test_the_fallback_codec_writes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "_CODECS", ("no such codec", "mpeg4"))
    with ResultWriter(tmp_path / "bear", overlay=tmp_path / "bear.mp4", fps=29.97) as results:
        for index, name in enumerate(NAMES):
            results.write(name, ids(index), rgb=picture(index))
    source = open_frames(tmp_path / "bear.mp4")
    assert len(source.names) == 20 and source.fps == pytest.approx(29.97, abs=0.01)
