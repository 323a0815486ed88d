"""Matching accuracy with keys, labels and videos whose figures are known."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dataset.evaluate.annotated import open_annotated
from dataset.evaluate.protocols import find_evaluation_set
from inference.matches.accuracy import (
    Accuracy,
    MatchKeys,
    Tally,
    best_matches,
    cell_labels,
    check_settings,
    count_matches,
    encode_frames,
    make_match_report,
    measure_videos,
    plan_pairs,
    prepare_network,
)
from model.affinity import match_top_k
from tests.support.toy_videos import toy_model, write_davis, write_video
from util.files.palette import write_mask

CPU = torch.device("cpu")
CELL = 16


def grid(*rows: tuple[float, ...]) -> Tensor:
    """Return one frame's map [1,Y,X]."""
    return torch.tensor(rows)[None]


def blocks(*rows: tuple[int, ...]) -> np.ndarray:
    """Return a mask whose cells have the given labels."""
    return np.kron(np.array(rows, np.uint8), np.ones((CELL, CELL), np.uint8))


def test_the_label_that_covers_most_of_a_cell_is_its_label() -> None:
    ids = torch.zeros(1, 32, 32, dtype=torch.int64)
    ids[0, :16, :9] = 7  # 144 of 256 pixels
    ids[0, :16, 16:24] = 7  # half: equal to the background, which has the smaller id
    ids[0, 16:, :6], ids[0, 16:, 6:11] = 7, 3  # 96 and 80 of 256: none has more than half
    assert cell_labels(ids).tolist() == [[[7, 0], [7, 0]]]


def test_padding_has_no_say_in_a_label() -> None:
    # Of 20 rows, 6 are added above and 6 below: the upper cell shows rows 0 to 9, the lower one 10 to 19.
    ids = torch.zeros(2, 20, 16, dtype=torch.int64)
    ids[0, :6] = 1  # 6 of the 10 rows
    ids[1, :5] = 1  # 5 of them
    assert cell_labels(ids).tolist() == [[[1], [0]], [[0], [0]]]


def test_matches_and_counts_by_hand() -> None:
    reference_labels, query_labels = grid((1, 1), (0, 2)).long(), grid((1, 0), (2, 3)).long()
    reference = MatchKeys(grid((0.0, 1.0), (2.0, 3.0))[None])
    query = MatchKeys(grid((0.6, 2.4), (2.6, 0.1))[None])
    best = best_matches(reference, query)
    assert best.tolist() == [[1, 2, 3, 0]]
    # Object 3 is not in the reference: nothing could be right.
    assert count_matches(best, reference_labels, query_labels) == {0: (1, 1), 1: (1, 1), 2: (1, 1), 3: (0, 0)}
    swapped = grid((0, 2), (1, 1)).long()
    assert count_matches(best, swapped, query_labels) == {0: (0, 1), 1: (0, 1), 2: (0, 1), 3: (0, 0)}


def test_each_query_frame_has_its_own_reference() -> None:
    references = MatchKeys(torch.tensor([[[[0.0, 9.0]]], [[[9.0, 0.0]]]]))
    queries = MatchKeys(torch.tensor([[[[8.0, 1.0]]], [[[8.0, 1.0]]]]))
    assert best_matches(references, queries).tolist() == [[1, 0], [0, 1]]
    labels = torch.tensor([[[0, 1]], [[0, 0]]])
    # The second reference shows no object: of the second query's cells only the background counts.
    assert count_matches(torch.tensor([[1, 0], [0, 1]]), labels, torch.tensor([[[1, 0]], [[1, 0]]])) == {
        0: (2, 2),
        1: (1, 1),
    }


@pytest.mark.parametrize("block", [1, 1 << 24])
def test_the_best_match_is_the_memory_element_that_inference_reads(block: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("inference.matches.accuracy._BLOCK_ELEMENTS", block)
    generator = torch.Generator().manual_seed(0)
    keys = MatchKeys(
        torch.randn(3, 8, 4, 5, generator=generator),
        1 + 4 * torch.rand(3, 1, 4, 5, generator=generator),
        torch.rand(3, 8, 4, 5, generator=generator),
    )
    queries = MatchKeys(*(part.flip(0) for part in keys if part is not None))
    best = best_matches(keys, queries)
    assert queries.selection_FKYX is not None and keys.shrinkage_F1YX is not None
    for frame in range(3):
        match = match_top_k(
            keys.key_FKYX[frame].flatten(1).T,
            keys.shrinkage_F1YX[frame].flatten(1).T,
            queries.key_FKYX[frame].flatten(1),
            queries.selection_FKYX[frame].flatten(1),
            top_k=1,
        )
        assert torch.equal(best[frame], match.index_PK[:, 0])
    assert not torch.equal(best, best_matches(MatchKeys(keys.key_FKYX), MatchKeys(queries.key_FKYX)))


def test_pairs_are_spread_and_share_their_queries() -> None:
    plan = plan_pairs(range(61), (1, 5, 20), pairs=4)
    assert plan == {
        1: [(14, 15), (29, 30), (44, 45), (59, 60)],
        5: [(10, 15), (25, 30), (40, 45), (55, 60)],
        20: [(10, 30), (25, 45), (40, 60)],
    }
    assert plan_pairs(range(61), (5,), pairs=4) == {5: plan[5]}, "other gaps change nothing"
    assert plan_pairs(range(3), (1, 2, 3), pairs=9) == {1: [(0, 1), (1, 2)], 2: [(0, 2)], 3: []}
    assert plan_pairs([0, 5, 10], (1, 5), pairs=9) == {1: [], 5: [(0, 5), (5, 10)]}, "every fifth frame has a mask"


def test_means_are_over_objects_and_over_videos() -> None:
    a: Tally = {0: (8, 10), 1: (1, 4), 2: (3, 4)}
    b: Tally = {0: (2, 5), 1: (4, 4)}
    report = make_match_report({"a": {5: a}, "b": {5: b}, "c": {5: {}}})
    assert report.videos["a"] == {5: Accuracy(foreground=0.5, background=0.8)}
    assert report.videos["c"] == {5: Accuracy(foreground=None, background=None)}
    assert report.figures() == {
        "match_foreground_5": pytest.approx((0.25 + 0.75 + 1) / 3),
        "match_background_5": pytest.approx(0.6),
    }


class ColourFeatures(NamedTuple):
    """Features of a network that has nothing but a key."""

    key: Tensor


class ColourNetwork(torch.nn.Module):
    """Its key is a cell's mean colour."""

    def encode_key(self, image_B3HW: Tensor) -> ColourFeatures:
        return ColourFeatures(torch.nn.functional.avg_pool2d(image_B3HW, CELL))


def write_painted(root: Path, pictures: list[np.ndarray], masks: list[np.ndarray]) -> Path:
    """Write one video of grey pictures in DAVIS-2017's layout; returns the root."""
    part = root / "trainval"
    (part / "ImageSets/2017").mkdir(parents=True)
    (part / "ImageSets/2017/val.txt").write_text("v\n")
    frames = part / "JPEGImages/480p/v"
    frames.mkdir(parents=True)
    for index, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        Image.fromarray(np.repeat(picture[..., None], 3, axis=2)).save(frames / f"{index:05d}.png")
        write_mask(part / f"Annotations/480p/v/{index:05d}.png", mask)
    return root


def measured(root: Path, size: int = 32) -> dict[str, float]:
    videos = open_annotated(find_evaluation_set("d17", root=root))
    network: Any = ColourNetwork()
    return make_match_report(dict(measure_videos(network, videos, gaps=(1, 2), size=size, device=CPU))).figures()


def test_a_video_whose_figures_are_known(tmp_path: Path) -> None:
    first, second = blocks((200, 100, 0), (200, 100, 0)), blocks((0, 200, 100), (0, 200, 100))
    ids = blocks((1, 2, 0), (1, 2, 0)), blocks((0, 1, 2), (0, 1, 2))
    same = write_painted(tmp_path / "same", [first, second, first], [ids[0], ids[1], ids[0]])
    assert measured(same) == dict.fromkeys(
        ("match_foreground_1", "match_background_1", "match_foreground_2", "match_background_2"), 1.0
    )
    # The two objects change their colours in the second frame: every match of an object is wrong next to it.
    recoloured = blocks((0, 100, 200), (0, 100, 200))
    swapped = write_painted(tmp_path / "swapped", [first, recoloured, first], [ids[0], ids[1], ids[0]])
    assert measured(swapped) == {
        "match_foreground_1": 0.0,
        "match_background_1": 1.0,
        "match_foreground_2": 1.0,
        "match_background_2": 1.0,
    }


def test_identical_frames_match_wholly(tmp_path: Path) -> None:
    root = write_davis(tmp_path, {"still": 3})
    folder = root / "trainval"
    for kind in ("JPEGImages", "Annotations"):
        files = sorted((folder / kind / "480p" / "still").iterdir())
        for file in files[1:]:
            file.write_bytes(files[0].read_bytes())
    videos = open_annotated(find_evaluation_set("d17", root=root))
    # STCN's similarity is a distance: nothing is nearer than the same key. XMem's shrinkage can prefer another one.
    tallies = dict(measure_videos(toy_model("stcn"), videos, gaps=(1, 2), size=48, device=CPU))
    figures = make_match_report(tallies).figures()
    assert len(figures) == 4 and set(figures.values()) == {1.0}


def test_keys_are_those_of_the_network() -> None:
    model, images = toy_model("xmem"), torch.randn(9, 3, 40, 64, generator=torch.Generator().manual_seed(1))
    keys = encode_frames(prepare_network(model, CPU), images, CPU)
    padded = torch.nn.functional.pad(images, (0, 0, 4, 4))
    with torch.no_grad():
        whole = model.encode_key(padded)
    for ours, theirs in zip(keys, whole[:3], strict=True):
        assert ours is not None and theirs is not None
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_settings_out_of_range_are_refused() -> None:
    for gaps in ((), (0, 1), (5, 5)):
        with pytest.raises(ValueError, match="--gaps .*: expected different numbers of frames, each at least 1"):
            check_settings(gaps, 1, 48)
    with pytest.raises(ValueError, match="--pairs 0: expected at least 1 pair of frames for each video and gap"):
        check_settings((1,), 0, 48)
    with pytest.raises(ValueError, match="--size 15: expected the shorter side in pixels, at least 16, or -1"):
        check_settings((1,), 1, 15)
    check_settings((1,), 1, -1)


def test_unfit_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="g val has no complete ground truth: choose d16"):
        write_video(tmp_path / "g/JPEGImages/x", tmp_path / "g/Annotations/x", 3)
        open_annotated(find_evaluation_set("g", root=tmp_path / "g"))
    picture, ids = blocks((200, 0), (200, 0)), blocks((1, 0), (1, 0))
    root = write_painted(tmp_path / "mask", [picture] * 2, [ids, ids[:, :16]])
    with pytest.raises(ValueError, match=r"mask .*00001.png has 16x32 pixels, its frame .*00001.png 32x32. Resize"):
        measured(root)
    root = write_painted(tmp_path / "frame", [picture, picture[:, :16]], [ids, ids[:, :16]])
    with pytest.raises(ValueError, match="video v: frame 00001 is of another size than the frames before it"):
        measured(root, size=-1)
    (tmp_path / "frame/trainval/Annotations/480p/v/00001.png").rename(
        tmp_path / "frame/trainval/Annotations/480p/v/7.png"
    )
    with pytest.raises(ValueError, match="1 masks in .* match no frame of .*: 7.png"):
        measured(root)
