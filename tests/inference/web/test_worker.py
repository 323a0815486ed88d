"""The thread with the network: one run at a time, stopped and gone on with, interrupted by changes."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.web.events import Events
from inference.web.film import Film
from inference.web.folder import create
from inference.web.session import Session
from inference.web.worker import Network, Run, Worker
from tests.support.page import square, toy_network, write_clip
from util.files.palette import read_mask

LENGTH = 40


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = create(tmp_path / "session", Film(write_clip(tmp_path / "clip.mp4", LENGTH)), "clip", -1)
    made.add_object()
    made.paint(0, square(6, 6, 1), [1], 0)
    return made


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(toy_network, Events())
    yield made
    made.close()


def forward(session: Session) -> Run:
    return Run(session=session, frame=0, directions=("forward",))


def done(session: Session) -> int:
    return session.state()["status"].count("1")


def wait(worker: Worker, ready: Callable[[], bool] | None = None) -> None:
    end = time.monotonic() + 240
    while worker.busy if ready is None else not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_stopping_keeps_what_is_done_and_the_rest_is_the_same(worker: Worker, session: Session) -> None:
    worker.submit(forward(session))
    with pytest.raises(ValueError, match="A propagation is running"):
        worker.submit(forward(session))
    wait(worker)
    whole = [read_mask(session.result_file(frame)) for frame in range(LENGTH)]
    session.progress.reset()
    worker.submit(forward(session))
    wait(worker, lambda: done(session) > 3)
    worker.stop(wait=True)
    reached = done(session)
    assert 3 < reached < LENGTH and worker.status["phase"] == "idle"
    assert (session.folder / "snapshots" / f"forward-{reached - 1:06d}.pt").is_file()
    worker.submit(forward(session))
    wait(worker)
    assert done(session) == LENGTH
    again = [read_mask(session.result_file(frame)) for frame in range(LENGTH)]
    assert all(np.array_equal(a, b) for a, b in zip(again, whole, strict=True))


def test_a_change_ends_the_run(worker: Worker, session: Session) -> None:
    worker.submit(forward(session))
    wait(worker, lambda: done(session) > 3)
    session.paint(1, square(9, 9, 1), [1], 0)
    wait(worker)
    assert done(session) == 1 and worker.status["phase"] == "idle"


def test_a_network_that_can_not_be_loaded(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Network:
        raise ValueError("no weights here")

    worker = Worker(load, Events())
    wait(worker, lambda: worker.status["phase"] != "loading")
    assert worker.status == {"phase": "failed", "message": "The network can't be loaded: no weights here"}
    with pytest.raises(ValueError, match="The network can't be loaded: no weights here"):
        worker.submit(forward(session))
    worker.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "network"]


def test_an_error_ends_the_run_and_not_the_thread(
    worker: Worker, session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    film = session.film
    with monkeypatch.context() as patch:
        patch.setattr(film, "rgb", lambda frame: 1 / 0)
        worker.submit(forward(session))
        wait(worker)
    assert worker.status["message"] == "Propagation ended with an error: division by zero"
    worker.submit(forward(session))
    wait(worker)
    assert done(session) == LENGTH
