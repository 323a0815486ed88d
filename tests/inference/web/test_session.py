"""A session on the disk: masks, versions, what is shown, what survives."""

from pathlib import Path

import numpy as np
import pytest

from inference.web.film import Film
from inference.web.folder import create, open_session
from inference.web.session import Conflict, Session
from tests.support.page import square, write_clip
from util.files.palette import write_mask


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = create(tmp_path / "session", Film(write_clip(tmp_path / "clip.mp4", 4)), "clip", 240)
    made.add_object()
    made.add_object()
    return made


def test_what_is_painted_lies_over_the_result(session: Session) -> None:
    write_mask(session.result_file(1), square(0, 0, 1) + square(20, 20, 2))
    version = session.paint(1, square(10, 5, 1), [1], 0)
    shown = session.shown(1)
    assert np.array_equal(shown == 1, square(10, 5, 1) == 1) and np.array_equal(shown == 2, square(20, 20, 2) == 2)
    version = session.paint(1, 0 * shown, [1], version)  # object 1 is not in this frame
    assert np.array_equal(session.shown(1), square(20, 20, 2))
    session.paint(1, 0 * shown, [], version)
    assert np.array_equal(session.shown(1), square(0, 0, 1) + square(20, 20, 2))


def test_everything_survives(session: Session) -> None:
    session.paint(0, square(3, 3, 2), [1, 2], 0)
    session.objects[0].change({"name": "dog"})
    session.set_size(360)
    again = open_session(session.folder)
    assert again.state() == session.state() and np.array_equal(again.shown(0), square(3, 3, 2))
    assert again.given(0) is not None and again.given_frames() == [0]


def test_killed_between_mask_and_record_the_older_counts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    version = session.paint(0, square(3, 3, 1), [1], 0)
    monkeypatch.setattr(session, "save", lambda: None)
    session.paint(0, square(20, 20, 1), [1], version)
    assert len(list((session.folder / "given").iterdir())) == 2
    assert np.array_equal(open_session(session.folder).shown(0), square(3, 3, 1))


def test_replaced_masks_are_removed(session: Session) -> None:
    version = 0
    for left in (1, 5, 9):
        version = session.paint(0, square(left, 3, 1), [1], version)
    assert [file.name for file in (session.folder / "given").iterdir()] == [f"00000-{version}.png"]
    with pytest.raises(Conflict, match="changed in another tab"):
        session.paint(0, square(9, 9, 1), [1], version - 1)


def test_a_result_of_before_a_change_is_not_kept(session: Session) -> None:
    session.paint(0, square(3, 3, 1), [1], 0)
    session.begin("forward", 0)
    epoch = session.epoch
    assert session.store("forward", 0, square(3, 3, 1), epoch)
    session.paint(2, square(3, 3, 1), [1], 0)
    assert not session.store("forward", 1, square(3, 3, 1), epoch) and not session.result_file(1).exists()


def test_another_network_closes_the_passes(session: Session) -> None:
    session.paint(0, square(3, 3, 1), [1], 0)
    session.set_network("a")
    session.begin("forward", 0)
    session.store("forward", 0, square(3, 3, 1), session.epoch)
    session.set_network("a")
    assert session.state()["status"] == "1000"
    session.set_network("b")
    assert session.state()["status"] == "3000" and session.progress.passes["forward"] is None
