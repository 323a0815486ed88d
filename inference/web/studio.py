"""What all pages of a server share: the session that is open, the worker, the downloads, the news."""

import json
from pathlib import Path
from typing import Any

from inference.web.events import Events
from inference.web.export import Exporter
from inference.web.film import Film
from inference.web.folder import create, find_by_film, list_sessions, new_folder, open_session
from inference.web.progress import Direction
from inference.web.session import Session
from inference.web.worker import Run, Worker

_DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "backward": ("backward",),
    "both": ("forward", "backward"),
}


class Studio:
    """The state behind the page. One session is open at a time, the same in every tab."""

    def __init__(self, root: Path, worker: Worker, events: Events, size: int, packaged: Path | None = None) -> None:
        """Prepare without a session.

        Args:
            root: the folder of sessions.
            worker: with the network.
            events: the news of all pages.
            size: the shorter side at which the network works in new sessions.
            packaged: the clip to try the page with.
        """
        self.root = root
        self.worker = worker
        self.events = events
        self.exporter = Exporter(events)
        self.session: Session | None = None
        self._size = size
        self._packaged = packaged

    def state(self) -> dict[str, Any]:
        """Return all that a page shows."""
        session = None if self.session is None else self.session.state()
        now = {"session": session, "worker": self.worker.status, "busy": self.worker.busy}
        choice = {"sessions": list_sessions(self.root), "packaged": self._packaged is not None}
        return now | choice if session is None else now

    def require(self) -> Session:
        """Return the open session; raises ValueError if there is none."""
        if self.session is None:
            raise ValueError("No film is open: choose one first.")
        return self.session

    def open_path(self, path: Path) -> None:
        """Open a film, a folder of frames, or a session's folder; a film's newest session is gone on with."""
        if (path / "session.json").is_file():
            self._show(open_session(path))
            return
        film = Film(path)
        known = find_by_film(self.root, path)
        if known is not None:
            self._show(open_session(known))
            return
        name = path.resolve().name if path.is_dir() else path.stem
        self._show(create(new_folder(self.root, name), film, name, self._size))

    def open_folder(self, name: str) -> None:
        """Open a session by the name of its folder; raises ValueError if there is none."""
        if name not in [entry["folder"] for entry in list_sessions(self.root)]:
            raise ValueError(f"there is no session {name!r}")
        self._show(open_session(self.root / name))

    def open_packaged(self) -> None:
        """Open the packaged clip; raises ValueError if there is none."""
        if self._packaged is None:
            raise ValueError("No clip is packaged with this version.")
        self.open_path(self._packaged)

    def adopt(self, folder: Path, film: Path, name: str) -> None:
        """Open an uploaded film that lies in a new session's folder; raises ValueError if it is none."""
        self._show(create(folder, Film(film), name, self._size))

    def close_session(self) -> None:
        """Go back to the choice of films; a run is stopped."""
        self.worker.stop(wait=True)
        if self.session is not None:
            self.session.changed = lambda: None
        self.session = None
        self._tell()

    def propagate(self, direction: str, frame: int) -> None:
        """Start a run; raises ValueError for an unknown direction or while another one goes on."""
        session = self.require()
        if direction not in _DIRECTIONS:
            raise ValueError(f"direction {direction!r}: expected one of {', '.join(_DIRECTIONS)}")
        if not 0 <= frame < len(session.film):
            raise ValueError(f"there is no frame {frame}")
        self.worker.submit(Run(session=session, frame=frame, directions=_DIRECTIONS[direction]))

    def _show(self, session: Session) -> None:
        self.worker.stop(wait=True)
        if self.session is not None:
            self.session.changed = lambda: None
        self.session = session
        session.changed = self._tell
        self._tell()

    def _tell(self) -> None:
        # Made here, under the session's lock, so that states arrive in their order.
        self.events.publish({"type": "state", "state": json.loads(json.dumps(self.state()))})
