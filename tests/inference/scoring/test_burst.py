from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inference.scoring.burst import score_burst
from inference.scoring.hota import FrameOverlap, count
from inference.scoring.inputs import ScoreTask
from tests.support.burst_files import WIDTH, Frame, box, sequence, write_burst
from tests.support.plain_scores import iou

# 805 (person) is common, 300 is not, 720 (mug) is a distractor, 207 counts as 554, 967 as the distractor 529.
NAMES = {805: "person", 300: "crab", 720: "mug", 207: "cap", 554: "hat", 529: "handbag", 967: "shopping_bag"}
A, B, C = (2, 2, 8, 8), (12, 2, 8, 8), (2, 20, 6, 6)
HALF = (2, 6, 8, 8)  # a third of A in IoU


def score(
    root: Path, truth: Sequence[Frame], predicted: Sequence[Frame], categories: dict[int, int]
) -> dict[str, dict[str, float]]:
    """Score one sequence; returns the figures by class."""
    gt = write_burst(root / "val/all_classes.json", sequence("dog", truth, categories), names=NAMES)
    pred = write_burst(root / "pred.json", sequence("dog", predicted, dict.fromkeys(categories, 1)), names={})
    report = score_burst(ScoreTask(truth=gt.parent, masks=pred))
    return {name: next(iter(figures.values())) for name, figures in report.sequences.items()}


def test_perfect_tracks_of_several_classes(tmp_path: Path) -> None:
    frames = [{1: A, 2: B}, {1: A}, {2: B, 1: A}]
    figures = score(tmp_path, frames, frames, {1: 805, 2: 300})
    assert figures == {"crab": {"HOTA": 1, "DetA": 1, "AssA": 1}, "person": {"HOTA": 1, "DetA": 1, "AssA": 1}}


def test_groups_of_classes(tmp_path: Path) -> None:
    truth = [{1: A, 2: B}] * 3
    gt = write_burst(tmp_path / "gt.json", sequence("dog", truth, {1: 805, 2: 300}), names=NAMES)
    pred = write_burst(tmp_path / "pred.json", sequence("dog", [{1: A}] * 3, {1: 1}), names={})
    mean = score_burst(ScoreTask(truth=gt, masks=pred)).mean
    assert (mean["HOTA"], mean["HOTA-Common"], mean["HOTA-Uncommon"]) == (0.5, 1, 0)


def test_distractors_and_joined_categories(tmp_path: Path) -> None:
    # The mug is no object, the cap is a hat, the shopping bag counts as a handbag, which is a distractor.
    truth = [{1: A, 2: B, 3: C, 4: (14, 20, 6, 6)}] * 2
    figures = score(tmp_path, truth, [{2: B, 1: HALF}] * 2, {1: 720, 2: 207, 3: 554, 4: 967})
    assert list(figures) == ["hat"]
    assert figures["hat"] == pytest.approx({"HOTA": 0.5**0.5, "DetA": 0.5, "AssA": 1})


def test_frames_without_a_true_object_are_left_out(tmp_path: Path) -> None:
    # In the second frame only a distractor is true, in the third nothing: what is predicted there costs nothing.
    truth = [{1: A}, {2: B}, {}, {1: A}]
    assert score(tmp_path, truth, [{1: A}] * 4, {1: 805, 2: 720})["person"]["HOTA"] == 1
    # A false detection in a frame of another class costs its own class.
    figures = score(tmp_path, [{1: A}, {2: B}], [{1: A}, {1: A, 2: B}], {1: 805, 2: 300})
    assert figures["person"]["DetA"] == 0.5 and figures["crab"]["DetA"] == 1


def test_unknown_tracks_are_dropped_and_empty_masks_count(tmp_path: Path) -> None:
    truth: list[Frame] = [{1: A}, {1: A}]
    gt = write_burst(tmp_path / "gt.json", sequence("dog", truth, {1: 805}), names=NAMES)
    pred = write_burst(tmp_path / "a.json", sequence("dog", [{1: A, 9: B}] * 2, {1: 1, 9: 1}), names={})
    assert score_burst(ScoreTask(truth=gt, masks=pred)).mean["HOTA"] == 1
    truth = [{1: A, 2: B}, {1: A}]
    gt = write_burst(tmp_path / "gt.json", sequence("dog", truth, {1: 805, 2: 805}), names=NAMES)
    pred = write_burst(tmp_path / "b.json", sequence("dog", [{1: A, 2: B}, {1: A, 2: (0, 0, 0, 0)}], {}), names={})
    assert score_burst(ScoreTask(truth=gt, masks=pred)).mean["DetA"] == 3 / 4


def test_equals_the_tracks_overlaps_by_hand(tmp_path: Path) -> None:
    truth: list[Frame] = [{1: A, 2: C}, {1: A, 2: C}, {1: A}]
    predicted: list[Frame] = [{1: HALF, 2: C}, {2: A, 1: C}, {1: A, 2: (4, 2, 8, 8)}]
    frames = [
        FrameOverlap(
            tuple(true),
            tuple(found),
            np.array([[iou(box(*t), box(*p)) for p in found.values()] for t in true.values()]),
        )
        for true, found in zip(truth, predicted, strict=True)
    ]
    expected = count(frames).figures()
    assert 0.3 < expected["HOTA"] < 0.9
    assert score(tmp_path, truth, predicted, {1: 805, 2: 805})["person"] == pytest.approx(expected, abs=1e-12)


def test_classes_add_up_over_sequences(tmp_path: Path) -> None:
    gt = write_burst(
        tmp_path / "gt.json",
        sequence("dog", [{1: A}] * 3, {1: 805}),
        sequence("cat", [{1: A}], {1: 805}, number=2),
        names=NAMES,
    )
    pred = write_burst(tmp_path / "pred.json", sequence("dog", [{1: A}] * 3, {1: 1}), names={})
    report = score_burst(ScoreTask(truth=gt, masks=pred))
    assert report.sequences["person"][805]["DetA"] == 0.75 and report.unit == "class"


def test_at_most_300_masks_of_a_frame_count(tmp_path: Path) -> None:
    frames: list[Frame] = [{track: (track // WIDTH, track % WIDTH, 1, 1) for track in range(1, 303)}]
    entry = sequence("dog", frames, dict.fromkeys(range(1, 303), 805))
    gt = write_burst(tmp_path / "gt.json", entry, names=NAMES)
    for track, mask in entry["segmentations"][0].items():
        mask["score"] = 0.1 if track in ("5", "9") else 0.9  # the two that are left out
    report = score_burst(ScoreTask(truth=gt, masks=write_burst(tmp_path / "pred.json", entry, names={})))
    assert report.mean["DetA"] == pytest.approx(300 / 302)
