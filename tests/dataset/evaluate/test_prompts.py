"""Masks that a user gives: which frame, which objects, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset.evaluate.prompts import Prompt, by_frame, read_prompt, to_prompt
from util.files.palette import write_mask

IDS = np.array([[0, 3], [7, 3]], np.int64)
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("mask", [IDS, torch.from_numpy(IDS), IDS.astype(np.uint16), IDS.tolist()])
def test_arrays(mask: Any) -> None:
    prompt = to_prompt(mask, "a")
    assert isinstance(prompt, Prompt) and str(prompt) == "given for frame a"
    ids, meant = read_prompt(prompt)
    assert ids.dtype == np.uint8 and ids.tolist() == IDS.tolist() and meant == [3, 7]


def test_the_ids_that_are_meant() -> None:
    prompt = to_prompt((IDS, [9, 3, 3]), "a")
    assert read_prompt(prompt)[1] == [3, 9]
    assert read_prompt(to_prompt(IDS == 3, "a"))[1] == [1]
    assert read_prompt(to_prompt(IDS * 100, "a"))[0].dtype == np.uint16


def test_files(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", IDS)
    ids, meant = read_prompt(to_prompt(str(tmp_path / "a.png"), "a"))
    assert ids.tolist() == IDS.tolist() and meant == [3, 7]


def test_frames_by_number_and_by_name_come_in_their_order() -> None:
    assert list(by_frame({2: IDS, 0: IDS}, NAMES)) == ["a", "c"]
    assert list(by_frame({"c": IDS, "b": IDS}, NAMES)) == ["b", "c"]
    assert list(by_frame({np.int64(12): IDS, 3: IDS}, None)) == ["00003", "00012"]


@pytest.mark.parametrize("frame", [3, -1, "d"])
def test_frames_that_are_not_there(frame: int | str) -> None:
    with pytest.raises(ValueError, match=rf"mask given for frame {frame!r}: there is no such frame; .* from a to c"):
        by_frame({frame: IDS}, NAMES)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (IDS[0], r"frame a: expected integer ids \[H,W\], received int64 \[2\]"),
        (IDS / 2, r"received float64 \[2, 2\]"),
        (IDS - 1, r"expected ids in 0..65535, received -1..6"),
        (IDS * 10000, r"expected ids in 0..65535, received 0..70000"),
    ],
)
def test_unfit_masks(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_prompt(mask, "a")
