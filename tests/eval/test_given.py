"""Given masks come back as they were given, small videos keep their size, and results are named after their runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from inference.propagate import Variant, segment_video
from model.weights import load_checkpoint
from tests.support.eval_runs import evaluate, masks
from tests.support.toy_videos import HEIGHT, WIDTH, write_video
from util.files.palette import read_mask, write_mask

TINY = ["--checkpoint", "tiny.pth", "--device", "cpu"]
CLIP = [*TINY, "--video", "clip", "--masks", "masks"]


@pytest.fixture(autouse=True)
def clip(folder: Path) -> None:
    """A clip with a first mask of two objects, the first again at frame 2, and both again at frame 3."""
    write_video(folder / "clip", folder / "masks", length=5, given=(0, 2, 3))
    second = read_mask(folder / "masks" / "00002.png")
    write_mask(folder / "masks" / "00002.png", np.where(second == 1, 1, 0).astype(np.uint8))


@pytest.mark.parametrize("more", [["--size", 32], ["--scales", 32, 96], ["--size", 32, "--flip"]])
def test_masks_that_say_everything_come_back_exactly(more: list[object], folder: Path) -> None:
    evaluate(*CLIP, *more, "--output", "out")
    written = masks(folder / "out")
    for name in ("00000", "00003"):
        np.testing.assert_array_equal(written[f"clip/{name}.png"], read_mask(folder / "masks" / f"{name}.png"))
    evaluate(*CLIP, *more, "--output", "again", "--resegment_given")
    again = masks(folder / "again")
    # What two sizes make of it may happen to be what was given.
    assert "--scales" in more or not np.array_equal(again["clip/00000.png"], written["clip/00000.png"])
    assert all(np.array_equal(again[f"clip/{n}.png"], written[f"clip/{n}.png"]) for n in ("00001", "00002", "00004"))


def test_frames_before_the_first_mask_are_empty_and_that_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("00000", "00002"):
        (folder / "masks" / f"{name}.png").unlink()
    evaluate(*CLIP, "--size", 32, "--output", "out")
    assert "clip: the masks of 3 frames before the first given one are empty" in capsys.readouterr().err
    assert [mask.any() for mask in masks(folder / "out").values()] == [False] * 3 + [True] * 2


def seen_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Sizes of the frames that networks get to see."""
    sizes: list[tuple[int, int]] = []
    real = Variant.__init__

    def watching(self: Variant, **parts: object) -> None:
        real(self, **parts)  # type: ignore[arg-type]
        step = self.segmenter.step

        def step_and_note(image: object, *rest: object) -> object:
            sizes.append(tuple(image.shape[1:]))  # type: ignore[attr-defined]
            return step(image, *rest)  # type: ignore[arg-type]

        self.segmenter.step = step_and_note  # type: ignore[method-assign,assignment]

    monkeypatch.setattr(Variant, "__init__", watching)
    return sizes


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        ([*CLIP], {(HEIGHT, WIDTH)}),
        ([*CLIP, "--size", 32], {(32, 42)}),
        ([*CLIP, "--size", 96, "--enlarge"], {(96, 128)}),
        ([*CLIP, "--scales", 32, 96], {(32, 42), (96, 128)}),
        (["--dataset", "d17", "--root", "davis", *TINY, "--size", 96], {(96, 128)}),
        (["--dataset", "g", "--root", "g", *TINY, "--size", 96], {(HEIGHT, WIDTH)}),
    ],
)
def test_smaller_videos_are_enlarged_on_request_or_by_protocol(
    words: list[object], sizes: set[tuple[int, int]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(folder / "g" / "JPEGImages" / "fox", folder / "g" / "Annotations" / "fox", length=2)
    seen = seen_sizes(monkeypatch)
    evaluate(*words, "--output", "out")
    assert set(seen) == sizes


def test_the_python_interface_does_not_enlarge_either(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_sizes(monkeypatch)
    list(segment_video(load_checkpoint("tiny.pth"), folder / "clip", folder / "masks" / "00000.png"))
    assert set(seen) == {(HEIGHT, WIDTH)}


def test_results_of_own_checkpoints_are_named_after_their_run(folder: Path) -> None:
    for run in ("one", "two"):
        (folder / run).mkdir()
        (folder / run / "config.json").write_text("{}")
        shutil.copy(folder / "tiny.pth", folder / run / "last.pth")
        evaluate("--checkpoint", f"{run}/last.pth", "--device", "cpu", "--video", "clip", "--mask", "masks/00000.png")
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["one-last", "two-last"]
