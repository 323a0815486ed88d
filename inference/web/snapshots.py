"""Snapshots of the segmenter on disk, so that a correction, or a new server, goes on from nearby."""

from pathlib import Path
from typing import Any

import torch

from inference.web.progress import STEP, Direction
from util.files.atomic import atomic_write, remove


class Snapshots:
    """The states of a session's passes after some of their frames, within a budget of bytes."""

    def __init__(self, folder: Path, every: int = 16, budget: int = 2**30) -> None:
        """Keep them in `folder`, one `every` so many frames, thinned out where `budget` bytes are exceeded."""
        self._folder = folder
        self._every = every
        self._budget = budget

    def is_due(self, direction: Direction, anchor: int, frame: int) -> bool:
        """Tell whether a pass should leave a snapshot after a frame."""
        return frame != anchor and (frame - anchor) * STEP[direction] % self._every == 0

    def save(self, direction: Direction, frame: int, state: dict[str, Any]) -> None:
        """Keep the state after a frame; raises OSError when the disk is full."""
        with atomic_write(self._folder / f"{direction}-{frame:06d}.pt") as temporary:
            torch.save(state, temporary)
        frames = self._frames(direction)
        if len(frames) > 2 and sum(self._file(direction, f).stat().st_size for f in frames) > self._budget:
            in_order = sorted(frames, reverse=STEP[direction] < 0)
            for thinned in in_order[:-1][1::2]:  # the newest stays
                remove(self._file(direction, thinned))
            self._every *= 2

    def load(self, direction: Direction, anchor: int, done: int) -> tuple[int, dict[str, Any]] | None:
        """Return the newest state of a pass that has come from `anchor` to `done`, with its frame, or None.

        What lies beyond `done` is removed: a correction has overtaken it. A damaged file is passed over.
        """
        step = STEP[direction]
        usable = []
        for frame in self._frames(direction):
            if (frame - anchor) * step >= 0 and (done - frame) * step >= 0:
                usable.append(frame)
            else:
                remove(self._file(direction, frame))
        for frame in sorted(usable, reverse=step > 0):
            try:
                return frame, torch.load(self._file(direction, frame), map_location="cpu", weights_only=True)
            except Exception:  # whatever torch meets in a damaged file: the older ones do as well
                remove(self._file(direction, frame))
        return None

    def clear(self, direction: Direction) -> None:
        """Forget a direction's states."""
        for frame in self._frames(direction):
            remove(self._file(direction, frame))

    def _frames(self, direction: Direction) -> list[int]:
        files = self._folder.glob(f"{direction}-*.pt")
        return [int(file.stem.rpartition("-")[2]) for file in files if file.stem.rpartition("-")[2].isdecimal()]

    def _file(self, direction: Direction, frame: int) -> Path:
        return self._folder / f"{direction}-{frame:06d}.pt"
