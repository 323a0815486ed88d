"""A session is a folder: the film or where it is, the masks that were painted, the results, and `session.json`.

Every change is on disk before it is answered, so that a session survives its server. A painted mask is a new file that
`session.json` names from then on: killed between the two, the older one counts.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inference.web.content import Content, Given, Object, Settings
from inference.web.film import Film
from inference.web.progress import STEP, Direction, Progress
from util.files.atomic import atomic_write, remove
from util.files.palette import object_ids, read_mask, write_mask

FILE = "session.json"
VERSION = 1


class Conflict(ValueError):
    """A change that builds on a state which another tab has changed in the meantime."""


class Session:
    """One film being segmented. Safe for several threads; `changed` is called after every change, under the lock."""

    def __init__(self, folder: Path, film: Film, name: str) -> None:
        """Start an empty session in `folder`; use `create` and `open_session`."""
        self.folder = folder
        self.film = film
        self.name = name
        self.progress = Progress(len(film))
        self.lock = threading.RLock()
        self.epoch = 0  # changes when a run must not go on with what it knows
        self.changed: Callable[[], None] = lambda: None
        self.content = Content()
        self._replaced: list[Path] = []  # painted masks that the next save makes useless

    # What there is

    @property
    def settings(self) -> Settings:
        """Settings of the network."""
        return self.content.settings

    @property
    def objects(self) -> list[Object]:
        """The objects in the order of the list."""
        return list(self.content.objects)

    @property
    def ids(self) -> list[int]:
        """The objects' ids."""
        return [item.id for item in self.content.objects]

    def given_frames(self) -> list[int]:
        """Frames with painted masks, rising."""
        return sorted(self.content.given)

    def given(self, frame: int) -> tuple[np.ndarray, list[int]] | None:
        """Return the painted mask [H,W] of a frame and the objects that it is about, or None."""
        with self.lock:
            entry = self.content.given.get(frame)
            return None if entry is None else (read_mask(self._given_file(frame, entry.version)), entry.objects)

    def shown(self, frame: int) -> np.ndarray:
        """Return a frame's ids [H,W] uint8 as the user sees them: the result, and what is painted over it."""
        with self.lock:
            ids_HW = np.zeros(self.film.size, np.uint8)
            file = self.result_file(frame)
            if file.is_file():
                ids_HW = self._alive()[read_mask(file)]
            painted = self.given(frame)
            if painted is not None:
                mask, about = painted
                ids_HW[np.isin(ids_HW, about)] = 0
                ids_HW[mask > 0] = mask[mask > 0]
            return ids_HW

    def has_mask(self, frame: int) -> bool:
        """Tell whether a frame has a result or a painted mask."""
        return frame in self.content.given or self.result_file(frame).is_file()

    def result_file(self, frame: int) -> Path:
        """Return where the network's mask of a frame is, or would be."""
        return self.folder / "results" / f"{frame:05d}.png"

    def anchor_file(self, direction: Direction) -> Path:
        """Return where the mask is that a pass began with."""
        return self.folder / f"anchor-{direction}.png"

    def state(self) -> dict[str, Any]:
        """Return all that the page shows, as JSON values."""
        with self.lock:
            film = {"name": self.name, "frames": len(self.film), "size": list(self.film.size), "fps": self.film.fps}
            return film | self.content.to_json() | self.progress.to_json()

    # What users change

    def add_object(self) -> Object:
        """Add an object; raises ValueError when there are too many."""
        with self.lock:
            added = self.content.new_object()
            self.save()
            return added

    def require_objects(self, ids: list[int]) -> None:
        """Add objects for ids of an imported mask that are none yet; raises ValueError for ids above 255."""
        with self.lock:
            self.content.require(ids)
            self.save()

    def change_object(self, number: int, changes: dict[str, Any]) -> None:
        """Change `name`, `colour` or `visible` of an object; raises ValueError for anything else."""
        with self.lock:
            self.content.object(number).change(changes)
            self.save()

    def delete_object(self, number: int) -> None:
        """Delete an object from all masks; results of the others stay, but are stale."""
        with self.lock:
            self.content.objects.remove(self.content.object(number))
            for frame, entry in list(self.content.given.items()):
                if number in entry.objects:
                    mask, about = self.given(frame) or (np.zeros(self.film.size, np.uint8), [])
                    mask = np.where(mask == number, 0, mask)
                    self._put(frame, mask, [i for i in about if i != number], entry.corrected)
            self.progress.reset()
            self.epoch += 1
            self.save()

    def paint(self, frame: int, mask_HW: np.ndarray, about: list[int], version: int) -> int:
        """Replace a frame's painted mask.

        Args:
            frame: its number.
            mask_HW: uint8 ids.
            about: the objects whose masks these are; one that isn't in the mask is absent from the frame. None of them
                removes the painted mask.
            version: of the painted mask that this one replaces, 0 if there was none.

        Returns:
            The new version, 0 without a mask.

        Raises:
            Conflict: when there is another version by now.
            ValueError: for a frame or objects that are not there.
        """
        with self.lock:
            if not 0 <= frame < len(self.film):
                raise ValueError(f"there is no frame {frame}")
            before = self.content.given.get(frame)
            now = 0 if before is None else before.version
            if version != now:
                raise Conflict("This frame was changed in another tab: its newer mask is shown now.")
            unknown = sorted({*about, *object_ids(mask_HW)} - set(self.ids))
            if unknown or not set(object_ids(mask_HW)) <= set(about):
                raise ValueError(f"mask: expected the objects {about}, which are among {self.ids}")
            corrected = before.corrected if before else self.result_file(frame).is_file()
            self._put(frame, mask_HW, sorted(set(about)), corrected)
            self.progress.edited(frame)
            self.epoch += 1
            self.save()
            entry = self.content.given.get(frame)
            return 0 if entry is None else entry.version

    def set_size(self, size: int) -> None:
        """Choose the shorter side at which the network works, -1 for the film's own; raises ValueError if too small."""
        with self.lock:
            if size != -1 and not 64 <= size <= 2160:
                raise ValueError(f"size {size}: expected 64 to 2160 pixels, or -1 for the film's own")
            if size != self.settings.size:
                self.settings.size = size
                self.progress.reset()
                self.epoch += 1
                self.save()

    def set_network(self, network: str) -> None:
        """Note the network that segments from now on; what another one left in memory does not count."""
        with self.lock:
            if network != self.settings.network:
                if self.settings.network:
                    self.progress.reset()
                self.settings.network = network
                self.save()

    # What a run does

    def begin(self, direction: Direction, frame: int) -> tuple[int, int]:
        """Prepare a run; returns the pass's anchor and the first frame that is wanted, as `Progress.plan`."""
        with self.lock:
            anchor, first = self.progress.plan(direction, frame, self.given_frames())
            if first == anchor:
                mask = self.shown(anchor)
                if not mask.any():
                    raise ValueError("Nothing is painted on this frame. Paint an object first.")
                write_mask(self.anchor_file(direction), mask)
                self.progress.begin(direction, anchor)
                self.save()
            return anchor, first

    def store(self, direction: Direction, frame: int, ids_HW: np.ndarray, epoch: int) -> bool:
        """Keep a frame's result, unless something has changed since the run's `epoch`; tells whether it did."""
        with self.lock:
            if epoch != self.epoch:
                return False
            write_mask(self.result_file(frame), ids_HW)
            self.progress.finished(direction, frame)
            return True

    def masks_ahead(self, direction: Direction, anchor: int) -> dict[int, tuple[np.ndarray, list[int]]]:
        """Return the masks that a pass is given: the anchor's, and the painted ones on its way."""
        with self.lock:
            first = read_mask(self.anchor_file(direction))
            found = {anchor: (first, object_ids(first))}
            for frame in self.given_frames():
                painted = self.given(frame)
                if painted is not None and (frame - anchor) * STEP[direction] > 0:
                    found[frame] = painted
            return found

    def save(self) -> None:
        """Write `session.json`."""
        with self.lock:
            inside = self.film.path.parent == self.folder
            film = self.film.path.name if inside else str(self.film.path.resolve())
            with atomic_write(self.folder / FILE) as temporary:
                temporary.write_text(json.dumps({"version": VERSION, "film": film} | self.state()))
            while self._replaced:
                remove(self._replaced.pop())
            self.changed()

    def restore(self, stored: dict[str, Any]) -> None:
        """Take over what `session.json` holds; raises KeyError, TypeError or ValueError if it is something else."""
        self.content = Content.from_json(stored)
        self.progress = Progress.from_json(stored)
        self.name = str(stored["name"])

    def _alive(self) -> np.ndarray:
        """Return a table [65536] from stored ids to shown ones: those of deleted objects are 0."""
        table = np.zeros(65536, np.uint8)
        table[self.ids] = self.ids
        return table

    def _put(self, frame: int, mask_HW: np.ndarray, about: list[int], corrected: bool) -> None:
        before = self.content.given.pop(frame, None)
        if about:
            version = self.content.next_version
            self.content.next_version += 1
            write_mask(self._given_file(frame, version), mask_HW.astype(np.uint8))
            self.content.given[frame] = Given(about, version, corrected)
        if before is not None:
            self._replaced.append(self._given_file(frame, before.version))

    def _given_file(self, frame: int, version: int) -> Path:
        return self.folder / "given" / f"{frame:05d}-{version}.png"
