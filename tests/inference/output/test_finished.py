"""Results that are whole, and what killed runs leave behind."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.output.finished import is_finished, remove_left_over
from inference.output.writer import ResultWriter
from util.files.atomic import atomic_write

IDS, RGB = np.eye(32, dtype=np.uint8), np.zeros((32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All results of a video of two frames."""
    folder = tmp_path_factory.mktemp("written")
    with ResultWriter(folder / "bear", **places(folder)) as results:  # type: ignore[arg-type]
        for name in ("a", "b"):
            results.write(name, IDS, rgb=RGB, prob=torch.rand(2, 32, 32), object_ids=[1])
    return folder


def places(folder: Path) -> dict[str, Path]:
    return {"probs": folder / "probs", "overlay": folder / "bear.mp4", "coco": folder / "bear.json"}


def finished(folder: Path) -> bool:
    return is_finished(["a", "b"], folder / "bear", **places(folder))  # type: ignore[arg-type]


@pytest.mark.parametrize("file", ["bear/a.png", "bear/b.png", "probs/b.npz", "bear.mp4", "bear.json"])
@pytest.mark.parametrize("share", [0, 0.02, 0.6])
def test_files_that_end_early_are_not_finished(file: str, share: float, written: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(written, tmp_path / "copy")
    assert finished(folder)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(len(content) * share)])
    assert not finished(folder)
    (folder / file).unlink()
    assert not finished(folder)


def test_a_picture_of_another_kind_is_no_result(written: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(written, tmp_path / "copy")
    (folder / "bear" / "a.png").write_text("no picture at all")
    assert not finished(folder)


class Killed(BaseException):
    pass


def test_what_killed_runs_left_goes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("util.files.atomic.remove", lambda path: None)  # a killed process removes nothing
    for name in ("bear", "bear.mp4", "b[e]ar", "camel"):
        with pytest.raises(Killed), atomic_write(tmp_path / name) as temporary:
            if temporary.suffix:
                temporary.touch()
            else:
                temporary.mkdir()
                (temporary / "00000.png").touch()
            raise Killed
    for other in (".bear.txt", ".bear.1-2.tmp", "bear.1-0123abcd.tmp", ".bear.x-0123abcd.tmp"):
        (tmp_path / other).touch()
    before = set(tmp_path.iterdir())
    removed = remove_left_over([tmp_path / "bear", tmp_path / "bear.mp4", tmp_path / "b[e]ar", tmp_path / "no" / "x"])
    assert len(removed) == 3 and before - set(tmp_path.iterdir()) == set(removed)
    assert all(path.name.startswith((".bear.", ".b[e]ar.")) and ".tmp" in path.name for path in removed)
