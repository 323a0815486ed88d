"""Pictures of matches: where lines must be, in which colour, and what is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.clip import Clip, ClipBatch, collate
from inference.matches.accuracy import MatchKeys
from inference.matches.picture import RIGHT, WRONG, FramePair, clip_match_picture, match_picture, spread_cells
from scripts.visualize_matches import MatchesConfig, main
from tests.support.paths import ROOT
from tests.support.toy_videos import toy_checkpoint, toy_model, write_davis
from util.files.checkpoint import save_checkpoint

MARGIN, GAP, TITLE, LEGEND = 20, 10, 52, 40
WIDTH = 64  # of a frame of 4 cells: one pixel of the picture is one of the frame


def pair_of(reference_row: tuple[int, ...], query_row: tuple[int, ...]) -> FramePair:
    """Return grey frames of 3 rows of 4 cells; the middle row of their masks has the given labels."""
    masks = []
    for row in (reference_row, query_row):
        cells = np.zeros((3, 4), np.uint8)
        cells[1] = row
        masks.append(np.kron(cells, np.ones((16, 16), np.uint8)))
    grey = np.full((48, 64, 3), 100, np.uint8)
    return FramePair(reference_rgb_HW3=grey, query_rgb_HW3=grey, reference_ids_HW=masks[0], query_ids_HW=masks[1])


def keys_to(target: int, cell: int) -> MatchKeys:
    """Return keys in which the query's `cell` matches the reference's cell `target`, all others their own place."""
    keys = torch.arange(12.0).repeat(2, 1)
    keys[1, cell] = target
    return MatchKeys(keys.reshape(2, 1, 3, 4))


def frames_of(picture: np.ndarray, row: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the reference and the query as drawn in a row."""
    top = row * (TITLE + 48 + GAP) + TITLE
    across = MARGIN + WIDTH + GAP
    return picture[top : top + 48, MARGIN : MARGIN + WIDTH], picture[top : top + 48, across : across + WIDTH]


def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixel.astype(int) - colour) < 25).all())


def test_a_right_line_has_discs_and_a_wrong_one_a_cross() -> None:
    # The object is in cell 4, on the left of the middle row, of both frames.
    pair = pair_of((1, 0, 0, 0), (1, 0, 0, 0))
    picture = match_picture(pair, {"right": keys_to(4, 4), "wrong": keys_to(6, 4)}, width=WIDTH)
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * (TITLE + 48 + GAP) + LEGEND, 2 * (MARGIN + WIDTH) + GAP, 3)
    reference, query = frames_of(picture)
    assert near(reference[24, 8], RIGHT) and near(query[24, 8], RIGHT)
    assert near(reference[24, 40], RIGHT) and near(picture[TITLE + 24, MARGIN + WIDTH + 5], RIGHT), "the line between"
    assert not near(reference[24, 3], RIGHT), "the line ends at the cell"
    assert not any(near(pixel, WRONG) for pixel in picture[: TITLE + 48].reshape(-1, 3))
    reference, query = frames_of(picture, row=1)
    assert near(query[24, 8], WRONG) and near(reference[24, 40], WRONG), "from the query's cell 4 to cell 6"
    assert near(reference[22, 38], WRONG) and near(reference[22, 41], WRONG), "a cross"
    assert not any(near(pixel, RIGHT) for pixel in np.concatenate([reference, query]).reshape(-1, 3))


def test_a_wrong_line_is_dashed() -> None:
    pair = pair_of((0, 0, 0, 1), (0, 0, 0, 1))
    for target, share in ((7, 1.0), (4, 0.6)):
        reference, query = frames_of(match_picture(pair, {"a": keys_to(target, 7)}, width=WIDTH))
        along = query[24, :48]
        coloured = np.mean([near(pixel, RIGHT) or near(pixel, WRONG) for pixel in along])
        assert coloured == pytest.approx(share, abs=0.15)


def test_objects_stand_out() -> None:
    pair = pair_of((1, 1, 0, 0), (0, 0, 0, 0))  # nothing to match: no lines
    picture = match_picture(pair, {"a": keys_to(4, 4)}, width=WIDTH)
    reference, query = frames_of(picture)
    assert reference[24, 16].tolist() == [100, 100, 100], "as it is"
    assert (reference[24, 31:33] > 150).any(), "its outline"
    assert (reference[40, 50] < 80).all() and (query < 80).all(), "the background is darker"


def test_the_cells_shown_are_the_same_in_all_rows_and_spread() -> None:
    wanted = torch.zeros(5, 7, dtype=torch.bool)
    wanted[0, :] = True
    assert spread_cells(wanted, 2) == [0, 6]
    assert spread_cells(wanted, 3) == [0, 3, 6]
    assert spread_cells(wanted, 99) == list(range(7))
    wanted[4, 0] = True
    assert spread_cells(wanted, 3) == [0, 6, 28]
    assert spread_cells(torch.zeros(2, 2, dtype=torch.bool), 3) == []
    pair = pair_of((1, 1, 1, 1), (1, 1, 1, 1))
    picture = match_picture(pair, {"a": keys_to(4, 4), "b": keys_to(4, 7)}, matches=2, width=WIDTH)
    for row in (0, 1):
        _, query = frames_of(picture, row)
        discs = [column for column in (8, 24, 40, 56) if near(query[21, column], RIGHT)]
        assert discs == [8, 56]


def test_cells_of_padded_frames_lie_in_the_frame() -> None:
    # 20 rows are padded by 6 above and below: the cells' centres are rows 2 and 18 of the frame.
    rgb, ids = np.full((20, 64, 3), 100, np.uint8), np.zeros((20, 64), np.uint8)
    ids[:10, :16] = 1
    pair = FramePair(reference_rgb_HW3=rgb, query_rgb_HW3=rgb, reference_ids_HW=ids, query_ids_HW=ids)
    picture = match_picture(pair, {"a": MatchKeys(torch.arange(8.0).reshape(1, 1, 2, 4).repeat(2, 1, 1, 1))}, width=64)
    assert near(picture[TITLE + 2, MARGIN + 8], RIGHT) and not near(picture[TITLE + 14, MARGIN + 8], RIGHT)


def batch_of() -> ClipBatch:
    labels = torch.zeros(3, 48, 64, dtype=torch.uint8)
    labels[:, 16:32, :16] = 1
    clip = Clip(
        images_T3HW=torch.full((3, 3, 48, 64), 100, dtype=torch.uint8),
        labels_THW=labels,
        objects=1,
        matrices_T33=torch.eye(3).expand(3, 3, 3),
        warped_T=torch.zeros(3, dtype=torch.bool),
        seed=0,
        name="x",
    )
    return collate([clip, clip])


def test_a_clip_in_training() -> None:
    keys = torch.arange(12.0).reshape(1, 1, 1, 3, 4).repeat(2, 3, 1, 1, 1).requires_grad_()
    picture = clip_match_picture(batch_of(), keys, clip=1)
    assert picture.dtype == np.uint8 and picture.shape == (TITLE + 240 + GAP + LEGEND, 2 * (MARGIN + 320) + GAP, 3)
    assert near(picture[TITLE + 120, MARGIN + 40], RIGHT)
    moved = keys.detach().clone()
    moved[1, 2, 0, 1, 0] = 6.0  # the last frame's object cell is where the first frame's cell 6 is
    assert near(clip_match_picture(batch_of(), moved, clip=1)[TITLE + 120, MARGIN + 200], WRONG)
    assert np.array_equal(
        clip_match_picture(batch_of(), moved, clip=1, query=1), clip_match_picture(batch_of(), keys, clip=1, query=1)
    )
    with pytest.raises(
        ValueError, match=r"keys \[2, 2, 1, 3, 4\] do not belong to a batch with labels \[2, 3, 48, 64\]"
    ):
        clip_match_picture(batch_of(), keys[:, :2])


def test_unfit_input_is_refused() -> None:
    pair = pair_of((1, 0, 0, 0), (1, 0, 0, 0))
    with pytest.raises(
        ValueError, match=r"a: keys \[2, 1, 2, 4\] are not those of two frames of 48x64 pixels .*\[2,K,3"
    ):
        match_picture(pair, {"a": MatchKeys(torch.zeros(2, 1, 2, 4))})
    for settings in ({"matches": 0}, {"width": 63}):
        with pytest.raises(ValueError, match="a picture of 1 networks with .* expected at least 1 network, 1 match"):
            match_picture(pair, {"a": keys_to(4, 4)}, **settings)
    grey, ids = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    with pytest.raises(ValueError, match="a pair of frames and their masks must have one size, received"):
        FramePair(reference_rgb_HW3=grey, query_rgb_HW3=grey, reference_ids_HW=ids, query_ids_HW=ids[:16])


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Return a function that makes a configuration for two networks and two short videos."""
    write_davis(tmp_path / "davis", {"ape": 4, "bee": 5})
    toy_checkpoint(tmp_path / "a.pth")
    stcn = {"format": "corrvos", "version": 1, "network": toy_model("stcn").state_dict(), "step": 0, "stage": "2"}
    save_checkpoint(tmp_path / "b.pth", stcn)
    common = {"root": tmp_path / "davis", "size": 48, "gap": 2, "output": tmp_path / "m.png", "device": "cpu"}

    def make(**settings: Any) -> MatchesConfig:
        return MatchesConfig(**{"checkpoint": (tmp_path / "a.pth", tmp_path / "b.pth"), **common, **settings})

    return make


def test_two_networks_of_different_kinds_in_one_picture(config: Any, tmp_path: Path) -> None:
    main(config(names=("baseline", "ours"), video="bee", query="00003", width=160))
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "RGB" and image.size == (2 * (MARGIN + 160) + GAP, 2 * (TITLE + 120 + GAP) + LEGEND)


def test_wrong_wishes_are_refused(config: Any) -> None:
    three = config().checkpoint + config().checkpoint[:1]
    for settings, message in (
        ({"checkpoint": three}, "--checkpoint: expected one or two networks, received 3"),
        ({"names": ("one",)}, "--names: expected 2 different titles, received one"),
        ({"video": "cat"}, "--video cat: expected one of ape, bee"),
        ({"query": "00001"}, "--query 00001: expected a frame of ape from 00002 to 00003 at --gap 2"),
        ({"gap": 9}, "--gap 9: video ape has no two annotated frames so far apart, it has 4 frames: choose a smaller"),
        ({"gap": 0}, "--gaps 0: expected different numbers of frames, each at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            main(config(**settings))


def test_command_line(config: Any, tmp_path: Path) -> None:
    made = config()
    command = [sys.executable, str(ROOT / "scripts" / "visualize_matches.py"), "--checkpoint", str(made.checkpoint[0])]
    words = ["--root", str(made.root), "--size", "48", "--gap", "2", "--device", "cpu"]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "matches: matches.png\n"), done.stderr
    assert (tmp_path / "matches.png").is_file()
