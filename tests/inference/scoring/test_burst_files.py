from pathlib import Path

import numpy as np
import pytest

from inference.output.coco import CocoWriter
from inference.scoring.burst import score_burst
from inference.scoring.burst_files import read_burst
from inference.scoring.inputs import ScoreTask
from tests.support.burst_files import HEIGHT, WIDTH, box, sequence, write_burst
from util.files.palette import write_mask

NAMES = {805: "person"}
A, B = (2, 2, 8, 8), (12, 2, 8, 8)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_burst(
        tmp_path / "gt.json", sequence("dog", [{1: A, 2: B}] * 3, {1: 805, 2: 805}), names=NAMES, split="val"
    )


def test_a_file(truth: Path) -> None:
    [found] = read_burst(truth).sequences
    assert (found.name, found.size, list(found.frames)) == (
        "LaSOT/dog",
        (HEIGHT, WIDTH),
        ["frame0000", "frame0010", "frame0020"],
    )
    assert found.categories == {1: 805, 2: 805} and list(found.frames["frame0010"]) == [1, 2]


@pytest.mark.parametrize("place", ["dog", "LaSOT-dog", "LaSOT_dog", "LaSOT/dog"])
def test_folders_of_masks(truth: Path, tmp_path: Path, place: str) -> None:
    for number in (0, 10, 20):
        write_mask(tmp_path / "masks" / place / f"frame{number:04d}.png", (box(*A) + 2 * box(*B)).astype(np.uint8))
    assert score_burst(ScoreTask(truth=truth, masks=tmp_path / "masks")).mean["HOTA"] == 1
    (tmp_path / "masks" / place / "frame0010.png").unlink()
    with pytest.raises(ValueError, match=r"LaSOT/dog: 1 frames missing in .*: frame0010"):
        score_burst(ScoreTask(truth=truth, masks=tmp_path / "masks"))


def test_coco_files_of_masks(truth: Path, tmp_path: Path) -> None:
    writer = CocoWriter("dog")
    for number in (0, 10, 20):
        writer.add(f"frame{number:04d}", (box(*A) + 2 * box(*B)).astype(np.uint8))
    (tmp_path / "masks").mkdir()
    writer.write(tmp_path / "masks" / "dog.json")
    assert score_burst(ScoreTask(truth=truth, masks=tmp_path / "masks")).mean["HOTA"] == 1


def test_some_sequences(truth: Path, tmp_path: Path) -> None:
    gt = write_burst(
        tmp_path / "two.json",
        sequence("dog", [{1: A}], {1: 805}),
        sequence("cat", [{1: A}], {1: 805}, number=2),
        names=NAMES,
    )
    pred = write_burst(tmp_path / "pred.json", sequence("dog", [{1: A}], {1: 805}), names=NAMES)
    assert score_burst(ScoreTask(truth=gt, masks=pred, sequences=["dog"])).mean["HOTA"] == 1
    assert score_burst(ScoreTask(truth=gt, masks=pred)).mean["DetA"] == 0.5
    with pytest.raises(ValueError, match="has 1 of the 2 sequences that are to be scored"):
        score_burst(ScoreTask(truth=gt, masks=pred, sequences=["dog", "elk"]))


def test_problems_are_named(truth: Path, tmp_path: Path) -> None:
    other = write_burst(tmp_path / "test.json", sequence("dog", [{1: A}], {}), names={}, split="test")
    with pytest.raises(ValueError, match="test.json is of split test, the ground truth .*gt.json of val"):
        score_burst(ScoreTask(truth=truth, masks=other))
    with pytest.raises(FileNotFoundError, match="all_classes.json does not exist"):
        score_burst(ScoreTask(truth=tmp_path, masks=truth))
    bad = tmp_path / "bad.json"
    for text in ("{", "[]", '{"sequences": [{"seq_name": "dog"}]}'):
        bad.write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json is (no|not a) JSON file .*in BURST's form"):
            score_burst(ScoreTask(truth=truth, masks=bad))
    entry = sequence("dog", [{1: A}] * 3, {1: 805})
    entry["segmentations"] = entry["segmentations"][:2]
    with pytest.raises(ValueError, match="dog has 3 annotated images and 2 masks"):
        score_burst(ScoreTask(truth=truth, masks=write_burst(bad, entry, names={})))
    for number in (0, 10, 20):
        write_mask(tmp_path / "masks/dog" / f"frame{number:04d}.png", np.zeros((5, 7), np.uint8))
    with pytest.raises(ValueError, match="frame0000.png is 7x5 pixels, LaSOT/dog 32x24"):
        score_burst(ScoreTask(truth=truth, masks=tmp_path / "masks"))
    (tmp_path / "masks/dog").rename(tmp_path / "masks/cat")
    with pytest.raises(ValueError, match="cannot score .*: LaSOT/dog: sequence missing"):
        score_burst(ScoreTask(truth=truth, masks=tmp_path / "masks"))
