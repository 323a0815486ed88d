"""BURST's annotation files: what is read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.disk.burst import read_burst
from tests.support.benchmarks import FRAMES, ids_of, write_burst
from tests.support.toy_videos import HEIGHT, WIDTH


def test_sequences_and_their_masks(tmp_path: Path) -> None:
    found = read_burst(write_burst(tmp_path) / "val/all_classes.json")
    assert list(found.sequences) == ["LaSOT-bear-2", "YFCC100M-v_f69e"] and found.content["split"] == "val"
    sequence = found.sequences["LaSOT-bear-2"]
    assert (sequence.dataset, sequence.sequence, sequence.size) == ("LaSOT", "bear-2", (HEIGHT, WIDTH))
    assert sequence.images == tuple(f"img{frame + 1:04d}.jpg" for frame in range(FRAMES))
    assert list(sequence.masks) == ["img0001", "img0004", "img0007"]
    expected = ids_of(3, {1: 0, 2: 0})
    np.testing.assert_array_equal(sequence.masks["img0004"].read(), np.array([0, 7, 9])[expected])


def spoil(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    content["sequences"][0].update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq_name": "a/b"}, "'a/b' is no plain name"),
        ({"dataset": ".."}, "'..' is no plain name"),
        ({"all_image_paths": ["img0001.jpg"]}, "all_image_paths lacks 2 annotated images, such as img0004"),
        ({"annotated_image_paths": ["img0001.jpg"]}, "1 annotated images and 3 with masks"),
        ({"height": None}, r'is not a JSON file in BURST.s form: "split", and "sequences" .*TypeError'),
        ({"dataset": "YFCC100M", "seq_name": "v_f69e"}, "holds 2 sequences with 1 names: expected each once"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_burst(tmp_path) / "val/all_classes.json"
    spoil(path, **changes)
    with pytest.raises(ValueError, match=message):
        read_burst(path)


def test_missing_files_and_other_json(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="x.json does not exist; expected a JSON file in BURST's form"):
        read_burst(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ValueError, match="x.json is not a JSON file in BURST's form"):
        read_burst(tmp_path / "x.json")
