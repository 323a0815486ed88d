"""SA-V's masklets: what is read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as run_lengths

from dataset.disk.sav import read_masklets

MASKS = [np.eye(3, 4, dtype=np.uint8), np.ones((3, 4), np.uint8)]


def write(path: Path, masklet: Any, height: Any = 3.0) -> Path:
    path.write_text(json.dumps({"video_height": height, "video_width": 4.0, "masklet": masklet}))
    return path


def encoded(mask: np.ndarray) -> dict[str, Any]:
    found = run_lengths.encode(np.asfortranarray(mask))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def test_masks_by_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a_manual.json", [[encoded(mask) for mask in MASKS], [None, encoded(MASKS[1])]])
    found = read_masklets(path)
    assert found.size == (3, 4) and len(found.masks) == 2
    np.testing.assert_array_equal(found.masks[0].read(), np.where(MASKS[0] == 1, 1, 2))
    np.testing.assert_array_equal(found.masks[1].read(), np.full((3, 4), 2))
    assert str(found.masks[1]) == f"{path}, frame 00004"


def test_other_forms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a_manual.json does not exist; expected SA-V's masklets"):
        read_masklets(tmp_path / "a_manual.json")
    wrong: list[tuple[Any, Any]] = [([3], 3.0), ([[{"size": [3, 4]}]], 3.0), ([], None)]
    for number, (masklet, height) in enumerate(wrong):
        path = write(tmp_path / f"{number}_manual.json", masklet, height)
        with pytest.raises(ValueError, match="manual.json is not SA-V's masklets"):
            read_masklets(path)
