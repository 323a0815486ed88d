"""COCO files: what pycocotools reads from them, and what comes back."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from inference.output.coco import CocoWriter, read_coco

IDS = (1, 7, 300)


def masks(frames: int = 3) -> list[np.ndarray]:
    """Ids with gaps; the second frame is empty, and object 7 is missing from the third."""
    noise = np.random.default_rng(0).choice((0, *IDS), size=(frames, 11, 17)).astype(np.uint16)
    noise[1] = 0
    noise[2][noise[2] == 7] = 0
    return list(noise)


def write(path: Path, frames: list[np.ndarray]) -> Path:
    writer = CocoWriter("dog")
    for number, ids in enumerate(frames):
        writer.add(f"{number:05d}", ids)
    writer.write(path)
    return path


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    given = masks()
    read = read_coco(write(tmp_path / "dog.json", given))
    assert (read.names, read.size, read.object_ids) == (["00000", "00001", "00002"], (11, 17), list(IDS))
    for name, ids in zip(read.names, given, strict=True):
        np.testing.assert_array_equal(read.id_mask(name), ids)
        assert read.id_mask(name).dtype == np.uint16


def test_small_ids_come_back_as_bytes(tmp_path: Path) -> None:
    ids = np.eye(5, dtype=np.uint8)
    np.testing.assert_array_equal(read_coco(write(tmp_path / "a.json", [ids])).id_mask("00000"), ids)
    assert read_coco(tmp_path / "a.json").id_mask("00000").dtype == np.uint8


def test_pycocotools_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = masks()
    coco = COCO(str(write(tmp_path / "dog.json", given)))
    capsys.readouterr()  # COCO prints
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["00000", "00001", "00002"]
    for image in coco.getImgIds():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image))
        ids = given[image - 1]
        assert [annotation["track_id"] for annotation in annotations] == sorted({*ids.ravel().tolist()} - {0})
        for annotation in annotations:
            plane = ids == annotation["track_id"]
            np.testing.assert_array_equal(coco.annToMask(annotation), plane)
            rows, columns = np.nonzero(plane)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["bbox"] == box and annotation["area"] == plane.sum()


def test_uncompressed_run_lengths_polygons_and_overlap(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 4, "file_name": "a/00009.jpg", "height": 4, "width": 5}],
        "annotations": [
            # 6 zeros, then 2 ones, down the columns: rows 2 and 3 of the second column.
            {"image_id": 4, "track_id": 1, "segmentation": {"size": [4, 5], "counts": [6, 2, 12]}},
            {"image_id": 4, "track_id": 2, "segmentation": [[1, 3, 4, 3, 4, 4, 1, 4]]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    read = read_coco(tmp_path / "a.json")
    first = np.zeros((4, 5), bool)
    first[2:, 1] = True
    np.testing.assert_array_equal(read.masks("00009")[1], first)
    expected = np.zeros((4, 5), int)
    expected[2, 1], expected[3, 1:4] = 1, 2
    np.testing.assert_array_equal(read.id_mask("00009"), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "is no COCO file of a video"),
        ({"annotations": [{"image_id": 9, "track_id": 1, "segmentation": []}]}, "is no COCO file of a video"),
        ({"annotations": [{"image_id": 1, "track_id": 0, "segmentation": []}]}, "outside 1..65535"),
        ({"annotations": [{"image_id": 1, "track_id": 1, "segmentation": []}] * 2}, "occurs twice"),
        ({"images": [{"id": 1, "file_name": "a", "height": h, "width": 4} for h in (4, 5)]}, "frames of one video"),
    ],
)
def test_unfit_files_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    content = {"images": [{"id": 1, "file_name": "a", "height": 4, "width": 4}], "annotations": []} | change
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_coco(tmp_path / "a.json")


def test_run_lengths_of_another_size_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [np.ones((4, 5), np.uint8)])
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"][0]["height"] = 6
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"track 1 in frame 00000 are of size \[4, 5\]; expected .* \[6, 5\]"):
        read_coco(tmp_path / "a.json").masks("00000")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"COCO file .*none\.json does not exist"):
        read_coco(tmp_path / "none.json")
