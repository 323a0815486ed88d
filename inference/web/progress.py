"""Which frames are segmented, by which pass, and what a correction makes stale. Nothing here touches a file.

A *pass* is one run of the network over the film: from its *anchor*, a frame whose whole mask is known, forward or
backward. It can be stopped and goes on where it stopped, and a correction sets it back to the corrected frame. Its
result is that of `segment_video` from the anchor on, with all masks that are given on its way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["forward", "backward"]
STEP: dict[str, int] = {"forward": 1, "backward": -1}

NONE, FORWARD, BACKWARD, STALE_FORWARD, STALE_BACKWARD = "01234"
_FRESH: dict[str, str] = {"forward": FORWARD, "backward": BACKWARD}
_STALE = {FORWARD: STALE_FORWARD, BACKWARD: STALE_BACKWARD}


@dataclass
class Pass:
    """How far a pass has come: `done` is the last frame whose result holds, the one before `anchor` if none does."""

    anchor: int
    done: int


class Progress:
    """The state of every frame and of the newest pass in each direction."""

    def __init__(self, length: int) -> None:
        """Nothing is segmented."""
        self.status = [NONE] * length
        self.passes: dict[str, Pass | None] = {"forward": None, "backward": None}

    def plan(self, direction: Direction, frame: int, given: Iterable[int]) -> tuple[int, int]:
        """Choose what a run does that is asked for at `frame`: begins a pass if none leads there, else goes on.

        Args:
            direction: where to.
            frame: where the user is.
            given: the frames with given masks.

        Returns:
            The anchor, and the first frame whose result is wanted.

        Raises:
            ValueError: when there is nothing to start from, or nothing left to do.
        """
        step = STEP[direction]
        end = len(self.status) - 1 if step > 0 else 0
        current = self.passes[direction]
        if current is not None and (frame - current.anchor) * step >= 0:
            if current.done == end:
                raise ValueError(f"Every frame is up to date going {direction}. Paint a correction, then propagate.")
            return current.anchor, current.done + step
        before = [g for g in given if (frame - g) * step >= 0]
        if not before:
            side = "before" if step > 0 else "after"
            raise ValueError(f"Nothing is painted on this frame or {side} it. Paint an object first.")
        anchor = max(before) if step > 0 else min(before)
        if anchor == end:
            raise ValueError(f"There is no frame {'after' if step > 0 else 'before'} this one to propagate to.")
        return anchor, anchor

    def begin(self, direction: Direction, anchor: int) -> None:
        """Start a new pass; one in the other direction whose frames it runs over is closed."""
        step = STEP[direction]
        self.passes[direction] = Pass(anchor=anchor, done=anchor - step)
        other: Direction = "backward" if direction == "forward" else "forward"
        against = self.passes[other]
        if against is not None and (against.anchor - anchor) * step > 0:
            self.passes[other] = None

    def finished(self, direction: Direction, frame: int) -> None:
        """Note a frame's result."""
        current = self.passes[direction]
        assert current is not None
        current.done = frame
        self.status[frame] = _FRESH[direction]

    def edited(self, frame: int) -> None:
        """Note that a frame's given mask has changed: what followed from it is stale."""
        for direction, fresh in _FRESH.items():
            step = STEP[direction]
            current = self.passes[direction]
            if current is not None and (frame - current.anchor) * step >= 0:
                current.done = frame - step if (current.done - frame) * step >= 0 else current.done
            later = frame + step
            while 0 <= later < len(self.status) and self.status[later] in (fresh, _STALE[fresh]):
                self.status[later] = _STALE[fresh]
                later += step
        self.status[frame] = _STALE.get(self.status[frame], self.status[frame])

    def reset(self) -> None:
        """Close all passes: every result is stale, as after a change of objects or settings."""
        self.passes = {"forward": None, "backward": None}
        self.status = [_STALE.get(value, value) for value in self.status]

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        passes = {name: None if p is None else [p.anchor, p.done] for name, p in self.passes.items()}
        return {"status": "".join(self.status), "passes": passes}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Progress":
        """Return the state that `to_json` gave; raises KeyError, TypeError or ValueError if it is none."""
        progress = cls(0)
        progress.status = list(content["status"])
        if not set(progress.status) <= set("01234"):
            raise ValueError("unknown states of frames")
        for name in progress.passes:
            if content["passes"][name] is not None:
                anchor, done = content["passes"][name]
                progress.passes[name] = Pass(anchor=int(anchor), done=int(done))
        return progress
