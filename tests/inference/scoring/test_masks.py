import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths

from inference.output.coco import CocoWriter
from inference.scoring.masks import NoMasks, PngMasks, open_masks, png_size
from tests.support.plain_scores import frame, write_videos

BOTH = frame((1, 2, 2, 8, 8), (7, 12, 12, 8, 8))


def write_coco(path: Path, masks: list[np.ndarray]) -> None:
    writer = CocoWriter(path.stem)
    for index, mask in enumerate(masks):
        writer.add(f"{index:05d}", mask)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write(path)


def test_a_folder_for_each_video(tmp_path: Path) -> None:
    write_videos(tmp_path, {"ant": [BOTH] * 2, "bee": [BOTH], ".unfinished": [BOTH]})
    found = open_masks(tmp_path, "masks")
    assert list(found.sequences) == ["ant", "bee"] and not found.alone and not found.by_object
    ant = found.sequences["ant"]
    assert list(ant.names) == ["00000", "00001"] and ant.size("00001") == (32, 24)
    masks = ant.read("00001")
    assert masks.size == (24, 32) and list(masks.masks) == [1, 7]
    np.testing.assert_array_equal(masks.mask(7), BOTH == 7)
    assert masks.mask(3).shape == (24, 32) and not masks.mask(3).any()


@pytest.mark.parametrize("way", ["Annotations", "Annotations/480p", "Annotations/Full-Resolution", "480p"])
def test_folders_on_the_way_are_entered(tmp_path: Path, way: str) -> None:
    write_videos(tmp_path / way, {"ant": [BOTH]})
    (tmp_path / "JPEGImages" / "480p" / "ant").mkdir(parents=True)
    found = open_masks(tmp_path, "masks")
    assert list(found.sequences) == ["ant"] and found.root == tmp_path / way


def test_the_pngs_of_one_video(tmp_path: Path) -> None:
    write_videos(tmp_path, {"ant": [BOTH]})
    found = open_masks(tmp_path / "ant", "masks")
    assert list(found.sequences) == ["ant"] and found.alone and found.layout == "the PNGs of one video"


def test_a_folder_for_each_object(tmp_path: Path) -> None:
    write_videos(tmp_path, {"ant/000": [BOTH], "ant/001": [BOTH]})
    assert open_masks(tmp_path, "masks").by_object


def test_coco_files(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        write_coco(tmp_path / f"{name}.json", [BOTH, frame()])
    found = open_masks(tmp_path, "masks")
    assert list(found.sequences) == ["ant", "bee"] and not found.alone
    alone = open_masks(tmp_path / "bee.json", "masks")
    assert alone.alone and alone.layout == "a COCO file of one video"
    masks = alone.sequences["bee"].read("00000")
    np.testing.assert_array_equal(masks.mask(7), BOTH == 7)
    assert not alone.sequences["bee"].read("00001").masks and alone.sequences["bee"].size("00001") == (32, 24)
    as_one = open_masks(tmp_path / "bee.json", "masks", single_object=True).sequences["bee"].read("00000")
    np.testing.assert_array_equal(as_one.mask(1), BOTH > 0)


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="masks folder .*nowhere does not exist"):
        open_masks(tmp_path / "nowhere", "masks")
    with pytest.raises(ValueError, match="has no sequence folders"):
        open_masks(tmp_path, "masks")


def test_no_masks_are_as_large_as_the_truth(tmp_path: Path) -> None:
    write_videos(tmp_path, {"ant": [BOTH]})
    nothing = NoMasks(PngMasks(tmp_path / "ant"))
    assert list(nothing.names) == ["00000"] and nothing.read("00000").mask(1).shape == (24, 32)


def test_a_png_whose_header_alone_is_read(tmp_path: Path) -> None:
    Image.fromarray(BOTH).save(tmp_path / "a.png")
    assert png_size(tmp_path / "a.png") == (32, 24)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:24])
    assert png_size(tmp_path / "a.png") == (32, 24)


def test_empty_masks_of_coco_files_are_no_objects(tmp_path: Path) -> None:
    write_coco(tmp_path / "ant.json", [BOTH])
    content = json.loads((tmp_path / "ant.json").read_text())
    empty = run_lengths.encode(np.zeros((24, 32), np.uint8, order="F"))["counts"].decode("ascii")
    segment = {"size": [24, 32], "counts": empty}
    content["annotations"].append({"id": 9, "image_id": 1, "track_id": 3, "segmentation": segment})
    (tmp_path / "ant.json").write_text(json.dumps(content))
    assert list(open_masks(tmp_path / "ant.json", "masks").sequences["ant"].read("00000").masks) == [1, 7]
