"""What can be taken away: masks as palette PNGs in a zip, a film with coloured objects, a COCO file."""

import threading
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from inference.output.coco import CocoWriter
from inference.output.film import OverlayVideo
from inference.web.content import Object
from inference.web.events import Events
from inference.web.session import Session
from util.files.atomic import atomic_write
from util.files.palette import davis_palette

FILES = {"masks": "masks.zip", "overlay": "overlay.mp4", "coco": "coco.json"}


# How long a wish waits for the file before it: that is there for all to see a moment before its maker is free.
_MOMENT_S = 0.5


class Exporter:
    """Makes one file after the other in a thread, and tells the pages how far it is."""

    def __init__(self, events: Events) -> None:
        """Nothing is made yet."""
        self._events = events
        self._busy = threading.Lock()

    def start(self, session: Session, kind: str) -> None:
        """Begin; raises ValueError while another file is made, for an unknown kind, and without any mask."""
        if kind not in FILES:
            raise ValueError(f"there is no download {kind!r}, expected one of {', '.join(FILES)}")
        frames = [frame for frame in range(len(session.film)) if session.has_mask(frame)]
        if not frames:
            raise ValueError("There is nothing to download yet: paint an object and propagate.")
        if not self._busy.acquire(timeout=_MOMENT_S):
            raise ValueError("Another download is being made: wait until it is done.")
        threading.Thread(target=self._make, args=(session, kind, frames), daemon=True, name="export").start()

    def _make(self, session: Session, kind: str, frames: list[int]) -> None:
        def tell(share: float) -> None:
            self._events.publish({"type": "export", "kind": kind, "share": share})

        try:
            tell(0.0)
            make = {"masks": write_zip, "overlay": write_film, "coco": write_coco}[kind]
            make(session, frames, file_of(session, kind), tell)
            self._events.publish({"type": "export", "kind": kind, "share": 1.0, "file": FILES[kind]})
        except Exception as error:
            self._events.publish({"type": "export", "kind": kind, "share": 1.0, "error": str(error)})
        finally:
            self._busy.release()


def file_of(session: Session, kind: str) -> Path:
    """Return where a download is made."""
    return session.folder / "exports" / FILES[kind]


def write_zip(session: Session, frames: list[int], path: Path, tell: Callable[[float], None]) -> None:
    """Write the masks of `frames` as palette PNGs, named after the frames, into a zip."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for place, frame in enumerate(frames):
            file.writestr(f"{session.film.names[frame]}.png", _palette_png(session.shown(frame)))
            _tell_now_and_then(tell, place, len(frames))


def write_coco(session: Session, frames: list[int], path: Path, tell: Callable[[float], None]) -> None:
    """Write the masks of `frames` as a COCO file; its categories stay one, its tracks are the objects' ids."""
    writer = CocoWriter(session.name)
    for place, frame in enumerate(frames):
        writer.add(session.film.names[frame], session.shown(frame))
        _tell_now_and_then(tell, place, len(frames))
    writer.write(path)


def write_film(session: Session, frames: list[int], path: Path, tell: Callable[[float], None]) -> None:
    """Write the whole film with its visible objects in their colours, as mp4."""
    shown, colours = visible(session.objects)
    with atomic_write(path) as temporary:
        film = OverlayVideo(temporary, session.film.fps)
        try:
            for frame in range(len(session.film)):
                film.add(session.film.rgb(frame), shown[session.shown(frame)], colours)
                _tell_now_and_then(tell, frame, len(session.film))
        finally:
            film.close()


def visible(objects: list[Object]) -> tuple[np.ndarray, np.ndarray]:
    """Return tables by id: the ids themselves, 0 for hidden objects [256] uint8, and the colours [256,3] uint8."""
    shown, colours = np.zeros(256, np.uint8), np.zeros((256, 3), np.uint8)
    for item in objects:
        shown[item.id] = item.id if item.visible else 0
        colours[item.id] = list(bytes.fromhex(item.colour[1:]))
    return shown, colours


def _palette_png(ids_HW: np.ndarray) -> bytes:
    image = Image.fromarray(ids_HW)
    image.putpalette(davis_palette().tobytes())
    content = BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()


def _tell_now_and_then(tell: Callable[[float], None], place: int, count: int) -> None:
    if place % max(1, count // 50) == 0:
        tell(place / count)
