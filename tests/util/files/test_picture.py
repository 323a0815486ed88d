"""Pictures that come from outside: sizes that would fill the memory, and which way is up."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.disk.check import read_size
from dataset.disk.frames import FolderFrames, read_reduced, read_rgb
from dataset.train.pictures import read_static_mask
from util.files.palette import read_mask
from util.files.picture import TooLargeError, open_picture, orientation


def huge_png(path: Path, width: int = 50_000, height: int = 50_000, grey: bool = True) -> Path:
    """A PNG of a few bytes whose header tells of so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def huge_jpeg(path: Path, side: int = 65_500) -> Path:
    """A small JPEG whose header tells of so many rows and columns."""
    small = BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(small, "JPEG")
    content = bytearray(small.getvalue())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", side, side)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", [read_rgb, read_mask, read_size, read_static_mask, lambda path: read_reduced(path, 1)])
@pytest.mark.parametrize("make", [huge_png, huge_jpeg])
def test_headers_of_billions_of_pixels_are_bad_input(make: object, read: object, tmp_path: Path) -> None:
    file = make(tmp_path / ("x.png" if make is huge_png else "x.jpg"))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"x\.\w+ has too many pixels .*at most 89,478,485 are read"):
        read(file)  # type: ignore[operator]


@pytest.mark.parametrize("side", [9_500, 14_000])
def test_also_where_pil_merely_warns(side: int, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError), open_picture(huge_png(tmp_path / "x.png", side, side)):
        pass
    with open_picture(huge_png(tmp_path / "y.png", 9_400, 9_400)) as image:
        assert image.size == (9_400, 9_400), "a large picture is none of our business before it is decoded"


def turned(path: Path, number: int) -> Path:
    """A picture that is bright at the top left when shown as orientation `number` says; 48 x 32 pixels as stored."""
    upright = np.zeros((32, 48, 3) if number <= 4 else (48, 32, 3), np.uint8)
    upright[:8, :8] = 255
    undo = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: np.rot90(x, -1),
    }[number]
    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(np.ascontiguousarray(undo(upright))).save(path, quality=95, exif=exif)
    return path


@pytest.mark.parametrize("number", range(1, 9))
def test_frames_are_shown_upright(number: int, tmp_path: Path) -> None:
    file = turned(tmp_path / "00000.jpg", number)
    source = FolderFrames(tmp_path)
    [(_, rgb)] = list(source.read())
    assert rgb.shape[:2] == source.size == ((48, 32) if number > 4 else (32, 48))
    assert rgb[:8, :8].min() > 200 and rgb[-8:, :].max() < 50 and rgb[:, -8:].max() < 50
    assert source.is_turned("00000") == (number > 4) and np.array_equal(source.at(0), rgb)
    assert read_rgb(file).shape == (32, 48, 3), "as stored, where masks know of no orientation"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_orientations_that_are_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4)).save(tmp_path / "none.jpg")
    file = turned(tmp_path / "damaged.jpg", 6)
    content = file.read_bytes()
    assert b"*\x00\x00\x00\x08" in content
    file.write_bytes(content.replace(b"*\x00\x00\x00\x08", b"*\x7f\xff\xff\xff"))
    for name in ("none", "damaged"):
        with open_picture(tmp_path / f"{name}.jpg") as image:
            assert orientation(image) == 1
    nine = Image.Exif()
    nine[0x0112] = 9
    Image.new("RGB", (8, 4)).save(tmp_path / "nine.jpg", exif=nine)
    with open_picture(tmp_path / "nine.jpg") as image:
        assert orientation(image) == 1
