"""Files to take away, without a server."""

import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from inference.output.coco import read_coco
from inference.web import export
from inference.web.events import Events
from inference.web.export import Exporter, write_coco, write_film, write_zip
from inference.web.film import Film
from inference.web.folder import create
from tests.support.page import square, write_clip
from util.files.palette import read_mask


def test_painted_frames_alone(tmp_path: Path) -> None:
    session = create(tmp_path / "session", Film(write_clip(tmp_path / "clip.mp4", 4)), "clip", 240)
    session.add_object()
    session.paint(2, square(3, 3, 1), [1], 0)
    told: list[float] = []
    write_zip(session, [2], tmp_path / "a.zip", told.append)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["00002.png"]
        archive.extractall(tmp_path)
    assert (read_mask(tmp_path / "00002.png") == square(3, 3, 1)).all() and told == [0.0]
    write_coco(session, [2], tmp_path / "a.json", told.append)
    coco = read_coco(tmp_path / "a.json")
    assert coco.names == ["00002"] and (coco.id_mask("00002") == square(3, 3, 1)).all()
    session.add_object()
    session.paint(3, square(3, 3, 1) + square(30, 20, 2), [1, 2], 0)
    session.objects[0].change({"colour": "#0000ff"})
    session.objects[1].change({"visible": False})
    write_film(session, [2, 3], tmp_path / "a.mp4", told.append)
    film = Film(tmp_path / "a.mp4")
    blue = film.rgb(3).astype(int) - session.film.rgb(3)
    assert len(film) == 4 and blue[5:15, 5:15, 2].mean() > 30 > abs(blue[22:32, 32:42]).mean()


def test_an_error_is_told_and_the_next_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = create(tmp_path / "session", Film(write_clip(tmp_path / "clip.mp4", 2)), "clip", 240)
    session.add_object()
    session.paint(0, square(3, 3, 1), [1], 0)
    told: list[Any] = []
    monkeypatch.setattr(Events, "publish", lambda events, message: told.append(message))
    exporter = Exporter(Events())
    (session.folder / "exports").write_text("a file where the folder should be")
    exporter.start(session, "masks")
    while exporter._busy.locked():
        pass
    assert "cannot write" in told[-1]["error"]
    (session.folder / "exports").unlink()
    exporter.start(session, "masks")
    while exporter._busy.locked():
        pass
    assert told[-1]["file"] == "masks.zip" and (session.folder / "exports" / "masks.zip").is_file()


def test_a_wish_waits_for_a_maker_that_ends_and_for_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = create(tmp_path / "session", Film(write_clip(tmp_path / "clip.mp4", 2)), "clip", 240)
    session.add_object()
    session.paint(0, square(3, 3, 1), [1], 0)
    exporter = Exporter(Events())
    exporter._busy.acquire()
    ending = threading.Timer(0.1, exporter._busy.release)
    ending.start()
    exporter.start(session, "masks")
    while exporter._busy.locked():
        pass
    assert (session.folder / "exports" / "masks.zip").is_file()
    monkeypatch.setattr(export, "_MOMENT_S", 0.01)
    with exporter._busy, pytest.raises(ValueError, match="Another download is being made"):
        exporter.start(session, "coco")
