"""Folders of sessions: found, opened, refused."""

import json
from pathlib import Path

import pytest

from inference.web.film import Film
from inference.web.folder import create, discard, find_by_film, list_sessions, new_folder, open_session
from tests.support.page import write_clip


def test_new_sessions_get_new_folders(tmp_path: Path) -> None:
    film = Film(write_clip(tmp_path / "My clip.mp4", 3))
    for expected in ("my-clip", "my-clip-2"):
        folder = new_folder(tmp_path, "My clip")
        assert folder.name == expected
        create(folder, film, "My clip", 240)
    assert new_folder(tmp_path, "../..").name == "film"
    listed = {(entry["folder"], entry["frames"]) for entry in list_sessions(tmp_path)}
    assert listed == {("my-clip", 3), ("my-clip-2", 3)}
    assert find_by_film(tmp_path, tmp_path / "My clip.mp4") in (tmp_path / "my-clip", tmp_path / "my-clip-2")
    assert find_by_film(tmp_path, tmp_path / "other.mp4") is None
    with pytest.raises(FileExistsError):
        create(folder, film, "again", 240)


def test_unfit_sessions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no session: session.json is missing"):
        open_session(tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", 3)
    folder = create(tmp_path / "a", Film(clip), "clip", 240).folder
    write_clip(clip, 5)
    with pytest.raises(ValueError, match=r"is another film than that of .*: 5 frames instead of 3"):
        open_session(folder)
    clip.unlink()
    with pytest.raises(FileNotFoundError, match=r"clip.mp4 does not exist"):
        open_session(folder)
    record = folder / "session.json"
    stored = json.loads(record.read_text())
    for content in ("{", "[]", json.dumps(stored | {"version": 9}), json.dumps({"version": 1})):
        record.write_text(content)
        with pytest.raises(ValueError, match=r"session.json can't be read"):
            open_session(folder)
    assert list_sessions(tmp_path) == []


def test_only_what_is_no_session_is_discarded(tmp_path: Path) -> None:
    folder = create(tmp_path / "a", Film(write_clip(tmp_path / "clip.mp4", 2)), "clip", 240).folder
    (tmp_path / "b").mkdir()
    for path in (folder, tmp_path / "b"):
        discard(path)
    assert folder.is_dir() and not (tmp_path / "b").exists()
