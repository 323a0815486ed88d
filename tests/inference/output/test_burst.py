"""BURST's JSON from folders of masks: the given masks come back as they were."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataset.disk.burst import read_burst
from dataset.evaluate.video import open_dataset
from inference.output.burst import write_burst as write_results
from tests.support.benchmarks import write_burst
from util.files.palette import write_mask


def test_there_and_back(tmp_path: Path) -> None:
    root = write_burst(tmp_path / "burst")
    annotations = root / "val/all_classes.json"
    videos = open_dataset("burst", root=root)
    for name, sequence in read_burst(annotations).sequences.items():
        for frame, mask in sequence.masks.items():
            write_mask(tmp_path / "out" / name / f"{frame}.png", mask.read())
    path = write_results(tmp_path / "out", tmp_path / "out.json", videos, annotations)
    truth, written = (json.loads(file.read_text()) for file in (annotations, path))
    for expected, entry in zip(truth["sequences"], written["sequences"], strict=True):
        masks = [{track: mask["rle"] for track, mask in frame.items()} for frame in expected["segmentations"]]
        assert [{track: mask["rle"] for track, mask in frame.items()} for frame in entry["segmentations"]] == masks


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    root = write_burst(tmp_path / "burst")
    videos = open_dataset("burst", root=root)
    for frame in videos[0].wanted_names:
        write_mask(tmp_path / "out/LaSOT-bear-2" / f"{frame}.png", np.ones((4, 5), np.uint8))
    with pytest.raises(ValueError, match="img0001.png has 5x4 pixels, LaSOT-bear-2 64x48. Segment the sequence again"):
        write_results(tmp_path / "out", tmp_path / "out.json", videos[:1], root / "val/all_classes.json")
    assert not (tmp_path / "out.json").exists()
