"""Masks of other conventions become ids: colours, 0 and 255, folders and files of single objects."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.convert_masks import ConvertConfig, main
from util.files.palette import davis_palette, read_mask, write_mask

IDS = np.array([[0, 0, 1], [2, 2, 1]], np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def converted(source: Path, output: Path, kind: str = "colours") -> dict[str, list[list[int]]]:
    main(ConvertConfig(source=source, output=output, kind=kind))  # type: ignore[arg-type]
    return {path.relative_to(output).as_posix(): read_mask(path).tolist() for path in sorted(output.rglob("*.png"))}


def test_the_converter_that_the_message_names_makes_ids_of_its_masks(tmp_path: Path) -> None:
    write(tmp_path / "rgb" / "dog" / "00000.png", davis_palette()[IDS])
    with pytest.raises(ValueError, match=r"`python scripts/convert_masks.py FOLDER --output NEW_FOLDER` gives each"):
        read_mask(tmp_path / "rgb" / "dog" / "00000.png")
    assert converted(tmp_path / "rgb", tmp_path / "ids") == {"dog/00000.png": IDS.tolist()}


def test_other_colours_are_numbered_as_they_appear_and_alike_in_all_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = np.array([[0, 0, 0], [200, 10, 20], [3, 4, 5], [9, 9, 9]], np.uint8)
    write(tmp_path / "rgb" / "2.png", colours[[[0, 2], [2, 0]]])
    write(tmp_path / "rgb" / "10.png", colours[[[1, 2], [0, 3]]])
    assert converted(tmp_path / "rgb", tmp_path / "ids") == {"10.png": [[3, 1], [0, 2]], "2.png": [[0, 1], [1, 0]]}
    assert capsys.readouterr().out == ".: #030405 -> 1, #090909 -> 2, #c80a14 -> 3\n"


def test_grey_levels_and_transparency(tmp_path: Path) -> None:
    write(tmp_path / "grey" / "a" / "0.png", np.array([[0, 255]], np.uint8))
    write(tmp_path / "grey" / "b" / "0.png", np.array([[0, 128, 64]], np.uint8))
    write(tmp_path / "grey" / "c" / "0.png", np.array([[[9, 0, 0, 255], [9, 0, 0, 0]]], np.uint8))
    assert converted(tmp_path / "grey", tmp_path / "ids") == {
        "a/0.png": [[0, 1]],
        "b/0.png": [[0, 2, 1]],
        "c/0.png": [[1, 0]],
    }


@pytest.mark.parametrize("name", ["{video}/{object}/{frame}.png", "{video}/{frame}_{object}.png"])
@pytest.mark.parametrize("white", [1, 255])
def test_a_file_for_each_object(
    name: str, white: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "folders" if name.count("/") == 2 else "files"
    masks = {("0", "1"): [[1, 1, 0]], ("0", "10"): [[0, 1, 1]], ("1", "2"): [[0, 1, 0]]}
    for (frame, own), inside in masks.items():
        path = tmp_path / "objects" / name.format(video="dog", object=own, frame=frame)
        write(path, np.array(inside, np.uint8) * white)
    got = converted(tmp_path / "objects", tmp_path / "ids", kind)
    assert got == {"dog/0.png": [[1, 1, 10]], "dog/1.png": [[0, 2, 0]]}, "numbers stay; the first is on top"
    assert "objects overlap in 1 pixels" in caplog.text
    assert capsys.readouterr().out == "dog: 1 -> 1, 2 -> 2, 10 -> 10\n"
    one = converted(tmp_path / "objects" / "dog", tmp_path / "one", kind)
    assert one == {"0.png": got["dog/0.png"], "1.png": got["dog/1.png"]}


def test_names_of_objects_are_numbered(tmp_path: Path) -> None:
    for own in ("rider", "horse"):
        write(tmp_path / "v" / own / "0.png", np.array([[own == "rider", own == "horse"]], np.uint8))
    assert converted(tmp_path / "v", tmp_path / "ids", "folders") == {"0.png": [[2, 1]]}


def message(source: Path, output: Path, kind: str = "colours") -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        converted(source, output, kind)
    return str(caught.value)


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    masks, output = tmp_path / "masks", tmp_path / "ids"
    write(masks / "0.png", np.arange(300 * 3, dtype=np.uint16).reshape(1, 300, 3).astype(np.uint8))
    assert "with it the video has more than 255 colours, as soft edges" in message(masks, output)
    write(masks / "0.png", np.array([[300]], np.uint16))
    assert "is 16-bit grey: those are ids already" in message(masks, output)
    (masks / "0.png").write_bytes(b"nothing")
    assert "0.png cannot be read (" in message(masks, output)
    (masks / "0.png").unlink()
    write(masks / "0.jpg", np.zeros((4, 4, 3), np.uint8))
    assert "lossy compression changes colours" in message(masks, output)
    assert "expected FRAME_OBJECT.jpg with --kind files" in message(masks, output, "files")
    assert "holds no masks for --kind folders" in message(masks, output, "folders")
    assert "is no folder" in message(tmp_path / "nowhere", output)
    for own, size in (("a", 2), ("b", 3)):
        write(tmp_path / "sizes" / own / "0.png", np.ones((1, size), np.uint8))
    assert "is 3x1, other objects of that frame have 2x1" in message(tmp_path / "sizes", output, "folders")
    assert not output.exists()


def test_nothing_is_replaced_and_the_source_stays(tmp_path: Path) -> None:
    write_mask(tmp_path / "masks" / "0.png", IDS)
    for output in (tmp_path, tmp_path / "masks", tmp_path / "masks" / "new"):
        assert "the source" in message(tmp_path / "masks", output)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").touch()
    assert "is there already and holds something" in message(tmp_path / "masks", tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.png", "kept", "masks", "mine"]
