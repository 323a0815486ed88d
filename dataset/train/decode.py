"""Decoding a training picture, smaller where the crop does not need all of it."""

from pathlib import Path

import cv2
import numpy as np

from dataset.disk.frames import read_rgb

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def read_reduced(path: Path, reduction: int) -> np.ndarray:
    """Read a picture as uint8 RGB at 1/1, 1/2, 1/4 or 1/8 of its size.

    Each pixel is the mean of a block of the original; a JPEG's decoder does that nearly for free. Rows and columns
    that do not fill a block are left out, or kept as a last narrower one. Orientation tags don't count, as masks have
    none.

    Raises FileNotFoundError and ValueError as `dataset.disk.frames.read_rgb`.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    # OpenCV fills the missing rest of a truncated JPEG with grey; PIL, behind read_rgb, refuses such a file.
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" in data[-64:]:
        flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr is not None:
            return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    rgb = read_rgb(path)
    if reduction == 1:
        return rgb
    rows, columns = (max(side // reduction, 1) for side in rgb.shape[:2])
    whole = rgb[: rows * reduction, : columns * reduction]
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
