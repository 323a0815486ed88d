"""Nothing that a user has is lost: results go neither among the inputs nor over foreign files."""

from pathlib import Path

import pytest

from tests.support.eval_runs import TINY, evaluate, refused, segment
from tests.support.films import write_film
from tests.support.toy_videos import write_video


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def work(folder: Path) -> Path:
    """A folder with a clip, its first mask, and the same clip as a film."""
    work = folder / "W"
    write_video(work / "clip", work / "masks", length=3)
    (work / "masks" / "00000.png").rename(work / "first.png")
    write_film(work / "clip.mp4", length=3)
    return work


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--video W/clip --mask W/first.png --output W", "the output W contains --video W/clip: results would be"),
        ("--video W/clip.mp4 --mask W/first.png --output W --overlay", "the output W contains --video W/clip.mp4"),
        ("--video W/clip --mask W/first.png --output W/clip", "the output W/clip is --video W/clip: results would be"),
        ("--video W/clip --mask W/first.png --output W/clip/out", "the output W/clip/out lies inside --video W/clip"),
        ("--video W/clip --mask W/first.png --output tiny.pth", "the output tiny.pth is --checkpoint tiny.pth"),
        ("--dataset d17 --root davis --output davis/trainval/JPEGImages", "contains the frames of d17 val in davis"),
        ("--dataset d17 --root davis --output davis/trainval/JPEGImages/480p/bear", "lies inside the frames of d17"),
        ("--dataset d17 --root davis --output davis/trainval/Annotations/480p", "is the masks of d17 val in davis"),
        ("--dataset d17 --root davis --output .", "contains --checkpoint tiny.pth: results would be"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_an_output_among_the_inputs_is_refused_before_anything_is_touched(
    words: str, message: str, more: list[str], work: Path, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    before = contents(folder)
    assert message in refused(capsys, *words.split(), *TINY, *more)
    assert contents(folder) == before


def test_a_generic_data_set_keeps_its_frames(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(folder / "R" / "JPEGImages" / "fox", folder / "R" / "Annotations" / "fox", length=3)
    before = contents(folder)
    words = ["--dataset", "g", "--root", "R", *TINY, "--output"]
    assert "is the frames of g val in R/JPEGImages" in refused(capsys, *words, "R/JPEGImages")
    assert "contains the frames of g val in R/JPEGImages" in refused(capsys, *words, "R")
    assert contents(folder) == before


@pytest.mark.parametrize("place", ["out/bear/notes.txt", "out_probs/bear/a", "out_coco/bear.json", "out/bear.mp4"])
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_what_no_run_wrote_is_kept(
    place: str, more: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_text("mine")
    words = ["--dataset", "d17", "--root", "davis", *TINY, "--output", "out", "--save_probs", "--overlay"]
    line = refused(capsys, *words, "--format", "coco", *more)
    assert "is there already, and no record says that this program wrote it: it is kept. Choose another" in line
    assert (folder / place).read_text() == "mine" and not (folder / "out" / "camel").exists()


def test_foreign_archives_and_scores_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment()
    for place, word in (("out.zip", "--zip_only"), ("out/scores.json", "--score_only")):
        (folder / place).write_text("mine")
        words = ["--dataset", "d17", "--root", "davis", "--output", "out"]
        assert f"{place} is there already" in refused(capsys, *words, word)
        assert (folder / place).read_text() == "mine"
        (folder / place).unlink()
        evaluate(*words, word)
        evaluate(*words, word)  # one's own is replaced


def test_ground_truth_is_scored_and_nothing_is_written_into_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, truth = contents(folder), "davis/trainval/Annotations/480p"
    evaluate("--dataset", "d17", "--root", "davis", "--output", truth, "--score_only")
    shown = capsys.readouterr()
    assert "100.0" in shown.out and "is an input, where nothing is written" in shown.err
    assert contents(folder) == before
