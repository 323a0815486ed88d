"""The open session: opened by film, by folder, again."""

from pathlib import Path

import pytest

from tests.support.page import serve, square, write_clip


def test_a_film_is_gone_on_with(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    with serve(tmp_path / "sessions", clip) as (client, studio):
        client.act("add_object")
        client.paint(1, square(3, 3, 1), [1])
        before = client.state()["session"]
        studio.open_path(write_clip(tmp_path / "other.mp4", 4))
        assert client.state()["session"]["frames"] == 4
        studio.open_path(clip)
        assert client.state()["session"] == before
        client.act("close")
        assert client.state()["session"] is None
        assert "No film is open" in client.refused("add_object")
        studio.open_path(tmp_path / "sessions" / "clip")
        assert client.state()["session"] == before
        with pytest.raises(FileNotFoundError):
            studio.open_path(tmp_path / "none")
    assert {folder.name for folder in (tmp_path / "sessions").iterdir()} == {"clip", "other"}


def test_another_film_stops_the_run(tmp_path: Path) -> None:
    with serve(tmp_path / "sessions", write_clip(tmp_path / "clip.mp4", 200)) as (client, studio):
        client.act("add_object")
        client.paint(0, square(3, 3, 1), [1])
        client.act("propagate", direction="forward", frame=0)
        session = studio.require()
        client.wait(lambda state: state["session"]["status"].count("1") > 2)
        studio.open_path(write_clip(tmp_path / "other.mp4", 4))
        assert not studio.worker.busy and 2 < session.state()["status"].count("1") < 200
