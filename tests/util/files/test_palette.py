import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.bombs import write_bomb
from util.files import palette
from util.files.palette import davis_palette, object_ids, overlay, read_mask, write_mask


def disc(height: int = 60, width: int = 80, value: int = 255) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.where(np.hypot(y - height / 2, x - width / 2) < height / 3, value, 0).astype(np.uint8)


def test_davis_palette_by_hand() -> None:
    colours = davis_palette()
    assert colours.shape == (256, 3) and colours.dtype == np.uint8
    assert colours[:8].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128], [128, 128, 128],
    ]  # fmt: skip
    assert colours[9].tolist() == [191, 0, 0] and colours[21].tolist() == [128, 64, 128]
    assert colours[22].tolist() == [22, 22, 22] and colours[255].tolist() == [255, 255, 255]


@pytest.mark.parametrize("ids", [[0, 1], [0, 1, 2, 7, 255], [0, 255], [3], [0, 300, 65535]])
def test_written_ids_are_read_again(tmp_path: Path, ids: list[int]) -> None:
    mask = np.random.RandomState(0).choice(ids, size=(9, 13)).astype(np.int64)
    write_mask(tmp_path / "m.png", mask)
    read = read_mask(tmp_path / "m.png")
    assert np.array_equal(read, mask)
    assert read.dtype == (np.uint16 if max(ids) > 255 else np.uint8)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode in (("P",) if max(ids) <= 255 else ("I;16", "I"))  # by the version of Pillow
        if image.mode == "P":
            assert image.getpalette() == davis_palette().ravel().tolist()


def test_large_ids_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    palette._say_once_that_ids_need_16_bits.cache_clear()
    for name in ("a.png", "b.png"):
        write_mask(tmp_path / name, np.full((4, 4), 256))
    assert [record.message for record in caplog.records] == [
        "ids above 255 do not fit a palette: such masks are written as 16-bit grey PNGs."
    ]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((2, 2)), r"must be integers \[H,W\], received float64 \(2, 2\)"),
        (np.zeros((2, 2, 3), int), r"must be integers \[H,W\], received int64 \(2, 2, 3\)"),
        (np.full((2, 2), -1), r"must lie in 0\.\.65535, received -1\.\.-1"),
        (np.full((2, 2), 65536), r"must lie in 0\.\.65535, received 65536\.\.65536"),
    ],
)
def test_unfit_ids_are_not_written(tmp_path: Path, ids: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_mask(tmp_path / "m.png", ids)
    assert not list(tmp_path.iterdir())


def test_stored_forms_of_ids(tmp_path: Path) -> None:
    ids = disc(value=5)
    forms = {
        "grey": Image.fromarray(ids),
        "grey and alpha": Image.merge("LA", (Image.fromarray(ids), Image.fromarray(255 - ids))),
        "16 bit": Image.fromarray(ids.astype(np.uint16)),
        "palette": Image.fromarray(ids),
    }
    forms["palette"].putpalette([7] * 768)
    for name, image in forms.items():
        image.save(tmp_path / f"{name}.png")
        assert np.array_equal(read_mask(tmp_path / f"{name}.png"), ids), name
    Image.fromarray(ids > 0).save(tmp_path / "bits.png")
    assert np.array_equal(read_mask(tmp_path / "bits.png"), ids > 0)
    assert read_mask(tmp_path / "bits.png").dtype == np.uint8


def test_honest_grey_masks_pass(tmp_path: Path) -> None:
    """Ids with gaps, one-pixel objects, thin lines, many objects: none looks like an anti-aliased mask."""
    masks = {
        "0 and 255": disc(),
        "gaps": disc(value=40) + (np.arange(80) > 50).astype(np.uint8) * 100,
        "many": (np.arange(60)[:, None] // 5 * 16 + np.arange(80) // 5).astype(np.uint8),
        "noise of ids": np.random.RandomState(1).randint(0, 4, (60, 80)).astype(np.uint8),
    }
    lines = np.zeros((60, 80), np.uint8)
    for index in range(10):
        lines[5 * index + 3, 3:70] = 20 * index + 10  # one pixel thick, apart
    masks["lines"] = lines
    dots = np.zeros((60, 80), np.uint8)
    dots[::7, ::7] = np.arange(dots[::7, ::7].size).reshape(dots[::7, ::7].shape) + 1
    masks["dots"] = dots
    for name, mask in masks.items():
        Image.fromarray(mask).save(tmp_path / "m.png")
        assert np.array_equal(read_mask(tmp_path / "m.png"), mask), name


@pytest.mark.parametrize("method", [cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
@pytest.mark.parametrize("size", [(57, 43), (100, 75), (131, 97)])
@pytest.mark.parametrize("bits", [8, 16])
def test_smoothly_resized_masks_are_refused(tmp_path: Path, method: int, size: tuple[int, int], bits: int) -> None:
    mask = disc(120, 160)
    mask[40:70, 20:60] = 90
    soft = cv2.resize(mask, size, interpolation=method)
    Image.fromarray(soft.astype(np.uint16) if bits == 16 else soft).save(tmp_path / "soft.png")
    with pytest.raises(ValueError) as caught:
        read_mask(tmp_path / "soft.png")
    message = str(caught.value)
    assert message.startswith(f"mask {tmp_path / 'soft.png'} is anti-aliased: ")
    assert message.endswith("(resize with nearest neighbour), or threshold it.")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(disc()).convert(mode).save(tmp_path / "m.png")
    with pytest.raises(ValueError) as caught:
        read_mask(tmp_path / "m.png")
    assert str(caught.value) == (
        f"mask {tmp_path / 'm.png'} has mode {mode}: colours are not object ids. Expected a PNG with a palette or grey "
        "ids; `python scripts/convert_masks.py FOLDER --output NEW_FOLDER` gives each colour an id."
    )


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    Image.fromarray(disc()).save(tmp_path / "m.jpg")
    with pytest.raises(ValueError, match="m.jpg is a JPEG file: lossy compression changes ids.*save the mask as PNG"):
        read_mask(tmp_path / "m.jpg")


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    write_mask(tmp_path / "whole.png", np.random.RandomState(0).randint(0, 9, (50, 50)))
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"mask .*half.png is truncated or damaged \(.*\). Save or download it again"):
        read_mask(tmp_path / "half.png")
    (tmp_path / "text.png").write_text("<html>")
    with pytest.raises(ValueError, match="mask .*text.png is not an image file. Expected a PNG"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError, match="mask .*none.png does not exist"):
        read_mask(tmp_path / "none.png")


def test_overlay_tints_objects_only() -> None:
    ids = disc(value=7).astype(np.uint16) * 100
    picture = np.full((60, 80, 3), 100, np.uint8)
    shown = overlay(picture, ids, alpha=0.5)
    assert shown.dtype == np.uint8 and np.array_equal(shown[ids == 0], picture[ids == 0])
    assert (shown[ids > 0] != 100).any(axis=1).all()
    assert len(np.unique(shown[ids > 0], axis=0)) == 2  # inside and outline
    assert np.array_equal(overlay(picture, np.zeros_like(ids)), picture)
    with pytest.raises(ValueError, match="differ in size"):
        overlay(picture, ids[1:])


def test_object_ids_of_both_widths() -> None:
    assert object_ids(np.array([[0, 7], [255, 7]], np.uint8)) == [7, 255]
    assert object_ids(np.array([[0, 7], [40000, 300]], np.uint16)) == [7, 300, 40000]
    assert object_ids(np.zeros((2, 2), np.uint8)) == []


def test_headers_that_promise_too_much(tmp_path: Path) -> None:
    write_bomb(tmp_path / "bomb.png", 50000, 50000)
    with pytest.raises(ValueError, match=r"mask .*bomb\.png .*pixels"):
        read_mask(tmp_path / "bomb.png")
