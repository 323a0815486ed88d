"""A film as the page looks at it: frames by number, as pictures for the network and as JPEGs for the browser."""

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np

from dataset.disk.frames import FrameSource, open_frames
from dataset.disk.seek import frame_reader

_JPEG_QUALITY = 90
_LONGEST_SIDE = 1920  # of the pictures for the browser: masks are at the film's own size
_CACHE_BYTES = 48 * 2**20


class Film:
    """The frames of a film or folder. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        """Open it and decode its first frame.

        Raises:
            FileNotFoundError: when it does not exist.
            ValueError: when it is no film that can be decoded.
        """
        self.path = path
        self.source: FrameSource = open_frames(path)
        self.names = self.source.names
        self.fps = self.source.fps
        self._read = frame_reader(self.source)
        self._lock = threading.Lock()
        self._jpegs: OrderedDict[int, bytes] = OrderedDict()
        if not self.names:
            raise ValueError(f"{path} has no frames. Expected a film such as mp4, or a folder of images.")
        height, width = self.rgb(0).shape[:2]
        self.size = (height, width)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.names)

    def rgb(self, frame: int) -> np.ndarray:
        """Return a frame as [H,W,3] uint8; raises ValueError when it is damaged, IndexError when it isn't there."""
        if not 0 <= frame < len(self.names):
            raise IndexError(f"frame {frame} of {self.path.name}: it has frames 0 to {len(self.names) - 1}")
        with self._lock:
            return self._read(frame)

    def jpeg(self, frame: int) -> bytes:
        """Return a frame as a JPEG of at most 1920 pixels; those of late are kept."""
        with self._lock:
            if frame in self._jpegs:
                self._jpegs.move_to_end(frame)
                return self._jpegs[frame]
        encoded = encode_jpeg(self.rgb(frame))
        with self._lock:
            self._jpegs[frame] = encoded
            while sum(map(len, self._jpegs.values())) > _CACHE_BYTES:
                self._jpegs.popitem(last=False)
        return encoded


def encode_jpeg(rgb_HW3: np.ndarray) -> bytes:
    """Return a picture as a JPEG, made smaller if a side exceeds 1920 pixels."""
    height, width = rgb_HW3.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale < 1:
        target = (round(width * scale), round(height * scale))
        rgb_HW3 = cv2.resize(rgb_HW3, target, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done, "OpenCV encodes every 8-bit picture"
    return encoded.tobytes()


def encode_ids(ids_HW: np.ndarray) -> bytes:
    """Return ids [H,W] uint8 as a grey PNG, whose values every browser returns unchanged."""
    done, encoded = cv2.imencode(".png", ids_HW, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "OpenCV encodes every 8-bit picture"
    return encoded.tobytes()


def decode_ids(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Return the ids [H,W] uint8 of a PNG, grey or with equal colours, as a canvas makes it.

    Raises ValueError when it is no such picture of `size` (height, width).
    """
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if pixels is None or pixels.shape[:2] != size:
        found = "no picture" if pixels is None else f"{pixels.shape[1]}x{pixels.shape[0]} pixels"
        raise ValueError(f"mask: expected a PNG of {size[1]}x{size[0]} pixels, received {found}")
    if (pixels != pixels[..., :1]).any():
        raise ValueError("mask: expected ids, as grey values, received colours")
    return np.ascontiguousarray(pixels[..., 0])
