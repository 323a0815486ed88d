"""The one thread that owns the network: it waits for runs and carries them out, frame by frame."""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset.evaluate.prefetch import prefetch
from dataset.evaluate.prompts import Prompt
from dataset.evaluate.video import Video
from inference.interface import VOSSegmenter
from inference.propagate import step_rgb
from inference.web.events import Events
from inference.web.progress import STEP, Direction
from inference.web.session import Session
from inference.web.snapshots import Snapshots

logger = logging.getLogger(__name__)

_SAVE_EVERY = 1.0  # seconds, at most, between notes of how far a run has come
_RECENT = 30  # frames over which the speed is measured


@dataclass(frozen=True, kw_only=True)
class Network:
    """A segmenter, ready to use.

    Attributes:
        name: what the page calls it.
        origin: what tells its weights and settings from others'; part of a session.
        segmenter: of `build_segmenter`.
    """

    name: str
    origin: str
    segmenter: VOSSegmenter


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is to be done: in a session, from a frame, in these directions one after the other."""

    session: Session
    frame: int
    directions: tuple[Direction, ...]


class Worker:
    """Runs the network in a thread of its own."""

    def __init__(self, load: Callable[[], Network], events: Events) -> None:
        """Start the thread, which begins with loading the network."""
        self._load = load
        self._events = events
        self._runs: queue.Queue[Run | None] = queue.Queue()
        self._stop = threading.Event()
        self._pending = False  # from a run's submission to its end
        self._turn = threading.Condition()
        self._network: Network | None = None
        self.status: dict[str, Any] = {"phase": "loading"}
        self._thread = threading.Thread(target=self._work, daemon=True, name="network")
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a run is going on, or waits for the network to be loaded."""
        return self._pending

    def submit(self, run: Run) -> None:
        """Ask for a run; raises ValueError while another one goes on, or without a network."""
        if self.status["phase"] == "failed":
            raise ValueError(self.status["message"])
        with self._turn:
            if self._pending:
                raise ValueError("A propagation is running: stop it first.")
            self._pending = True
            self._stop.clear()
            self._runs.put(run)

    def stop(self, wait: bool = False) -> None:
        """End the run after the frame it is at; with `wait`, return when it has ended."""
        self._stop.set()
        with self._turn:
            if wait:
                self._turn.wait_for(lambda: not self._pending)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._runs.put(None)
        self._thread.join(timeout=60)

    def _say(self, **status: Any) -> None:
        if self._network is not None:
            status["network"] = self._network.name
        self.status = status
        self._events.publish({"type": "worker", "worker": status})

    def _work(self) -> None:
        try:
            self._network = self._load()
        except Exception as error:
            mendable = isinstance(error, ValueError | OSError)
            logger.error("the network can't be loaded: %s", error, exc_info=None if mendable else error)
            self._say(phase="failed", message=f"The network can't be loaded: {error}")
            self._end_run()
            return
        self._say(phase="idle")
        while (run := self._runs.get()) is not None:
            message = ""
            try:
                self._carry_out(run)
            except ValueError as error:
                message = str(error)
            except Exception as error:
                logger.exception("propagation failed")
                message = f"Propagation ended with an error: {error}"
            finally:
                run.session.save()
                self._say(phase="idle", message=message)
                self._end_run()

    def _end_run(self) -> None:
        with self._turn:
            self._pending = False
            self._turn.notify_all()

    def _carry_out(self, run: Run) -> None:
        assert self._network is not None
        run.session.set_network(self._network.origin)
        refused = []
        for direction in run.directions:
            try:
                with run.session.lock:
                    plan = *run.session.begin(direction, run.frame), run.session.epoch
            except ValueError as error:  # the other direction may have something to do
                refused.append(error)
                continue
            _PassRun(self._network.segmenter, run.session, direction, self._stop, self._say, self._events).go(*plan)
            if self._stop.is_set():
                return
        if len(refused) == len(run.directions):
            raise refused[0]


class _PassRun:
    """One direction of a run."""

    def __init__(
        self,
        segmenter: VOSSegmenter,
        session: Session,
        direction: Direction,
        stop: threading.Event,
        say: Callable[..., None],
        events: Events,
    ) -> None:
        self._segmenter = segmenter
        self._session = session
        self._direction = direction
        self._stop = stop
        self._say = say
        self._events = events
        self._snapshots = Snapshots(session.folder / "snapshots")
        self._times: deque[float] = deque([time.monotonic()], maxlen=_RECENT)

    def go(self, anchor: int, wanted: int, epoch: int) -> None:
        """Run from `anchor`, or the newest snapshot, and keep the results from frame `wanted` on.

        A change of the session since its `epoch` ends the run.
        """
        session, direction, step = self._session, self._direction, STEP[self._direction]
        masks = session.masks_ahead(direction, anchor)
        end = len(session.film) - 1 if step > 0 else 0
        begin = self._restore(anchor, wanted, masks)
        size = self._size(masks)
        done, saved = None, time.monotonic()
        self._say(phase="running", direction=direction, frame=wanted, end=end, fps=0.0, left=None)
        # Closing the reading thread, too, when the run is stopped.
        with contextlib.closing(prefetch(self._pictures(begin, end + step, step))) as pictures:
            for frame, rgb in pictures:
                mask, about = masks.get(frame, (None, None))
                prob = step_rgb(self._segmenter, rgb, mask, about, size=size, last=frame == end)
                if (frame - wanted) * step >= 0:
                    if not session.store(direction, frame, self._segmenter.to_id_mask(prob), epoch):
                        return
                    done = frame
                    self._tell(frame, end)
                    due = self._snapshots.is_due(direction, anchor, frame)
                    if due:
                        self._snapshots.save(direction, frame, self._segmenter.snapshot("cpu"))
                    # With each snapshot, too: a killed server's session goes on from both.
                    if due or time.monotonic() - saved > _SAVE_EVERY:
                        session.save()
                        saved = time.monotonic()
                if self._stop.is_set():
                    break
        if done is not None and done != end:
            self._snapshots.save(direction, done, self._segmenter.snapshot("cpu"))

    def _restore(self, anchor: int, wanted: int, masks: dict[int, Any]) -> int:
        """Bring the segmenter to a state of before `wanted`; returns the frame that follows it."""
        step = STEP[self._direction]
        self._segmenter.reset()
        if wanted == anchor:
            self._snapshots.clear(self._direction)
            return anchor
        found = self._snapshots.load(self._direction, anchor, wanted - step)
        if found is None:
            return anchor
        frame, state = found
        self._segmenter.restore(state)
        return frame + step

    def _size(self, masks: dict[int, tuple[np.ndarray, list[int]]]) -> int:
        """Return the working size; BMVOS and EMVOS see a film with small objects at its own."""
        prompts = {
            self._session.film.names[frame]: Prompt(ids_HW=mask, object_ids=about, frame=str(frame))
            for frame, (mask, about) in masks.items()
        }
        video = Video(self._session.name, self._session.film.source, prompts)
        return video.working_size(self._session.settings.size, self._segmenter.resizing)

    def _pictures(self, begin: int, end: int, step: int) -> Generator[tuple[int, np.ndarray], None, None]:
        for frame in range(begin, end, step):
            yield frame, self._session.film.rgb(frame)

    def _tell(self, frame: int, end: int) -> None:
        now = time.monotonic()
        self._times.append(now)
        span = self._times[-1] - self._times[0]
        fps = (len(self._times) - 1) / span if span > 0 else 0.0
        left = abs(end - frame) / fps if fps else None
        status = {"direction": self._direction, "frame": frame, "end": end, "fps": round(fps, 2), "left": left}
        self._say(phase="running", **status, status=self._session.progress.status[frame])
