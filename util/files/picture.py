"""Opening picture files that come from outside: nothing is decoded before the header's size is known to be sane."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

MOST_PIXELS = 89_478_485  # PIL's own limit for what is worth a warning: a quarter of a gigabyte in RGB
_ORIENTATION = 0x0112  # EXIF's tag: 1 upright, 2 to 8 mirrored and turned

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class TooLargeError(ValueError):
    """A picture that would fill the memory."""


@contextmanager
def open_picture(path: str | os.PathLike[str], data: bytes | None = None) -> Iterator[Image.Image]:
    """Open a picture for the length of a `with` block; its pixels are decoded when they are asked for.

    Args:
        path: of the file.
        data: what the file holds, if that has been read.

    Raises:
        TooLargeError: its header gives more pixels than any picture of ours has, true or not.
        OSError, SyntaxError, ValueError: what PIL raises for what is no picture, or damaged; here and in the block.
    """
    path = Path(path)
    try:
        image = Image.open(path if data is None else BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(_explain(path, str(error))) from None
    with image:
        if image.width * image.height > MOST_PIXELS:
            raise TooLargeError(_explain(path, f"{image.width}x{image.height}"))
        yield image


def orientation(image: Image.Image) -> int:
    """Return a picture's EXIF orientation: 1 for upright, up to 8; above 4 its sides change places. 1 if unreadable."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # PIL's reader fails on bad EXIF data in a dozen ways, none of which matters
        return 1
    return found if found in range(1, 9) else 1


def upright(image: Image.Image) -> Image.Image:
    """Return a picture turned as its EXIF orientation says."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _explain(path: Path, size: str) -> str:
    return (
        f"{path} has too many pixels ({size}): at most {MOST_PIXELS:,} are read, others would fill the memory. Its "
        "header may be damaged; else make it smaller."
    )
