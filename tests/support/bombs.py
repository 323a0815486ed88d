"""Image files whose headers promise more than they hold."""

import struct
import zlib
from pathlib import Path


def write_bomb(path: Path, width: int, height: int) -> None:
    """Write a PNG whose header promises more than its few bytes hold."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 100))]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
