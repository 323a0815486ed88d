"""Pictures whose headers promise more pixels than any memory holds."""

import struct
import zlib
from pathlib import Path

from PIL import Image


def write_bomb(path: Path, width: int, height: int) -> None:
    """Write a PNG whose header promises more than its few bytes hold."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 100))]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def write_jpeg_bomb(path: Path, side: int = 65_500) -> None:
    """Write a JPEG whose header promises so many rows and columns."""
    Image.new("RGB", (16, 16)).save(path, "JPEG")
    data = path.read_bytes()
    at = data.index(b"\xff\xc0") + 5  # of the start of frame: its height, then its width
    path.write_bytes(data[:at] + struct.pack(">HH", side, side) + data[at + 4 :])
