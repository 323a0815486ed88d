"""The page's addresses: uploads, painting, two tabs, propagating, downloads; a server that is killed."""

import io
import json
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.disk.frames import open_frames
from inference import segment_video
from inference.output.coco import read_coco
from inference.web.studio import Studio
from model.weights import load_checkpoint
from tests.support.page import CONFIG, Client, serve, serve_apart, square, write_clip
from tests.support.toy_videos import toy_checkpoint, toy_model
from util.files.palette import read_mask

LENGTH = 10
FIRST = square(6, 6, 1) + square(30, 24, 2)
LATER = square(20, 10, 1)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Client, Studio]]:
    with serve(tmp_path / "sessions", write_clip(tmp_path / "clip.mp4", LENGTH)) as served:
        served[0].act("add_object")
        served[0].act("add_object")
        yield served


def results(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: read_mask(file) for file in sorted((folder / "results").glob("*.png"))}


def expected(film: Path, masks: dict, **options: object) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    frames = segment_video(toy_model(), film, masks, -1, CONFIG, **options)  # type: ignore[arg-type]
    return {frame.name: frame.id_mask for frame in frames}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_frames_and_masks(page: tuple[Client, Studio]) -> None:
    client, studio = page
    picture = Image.open(io.BytesIO(client.request("GET", "frame/3.jpg")[1]))
    film = studio.require().film
    assert picture.size == (64, 48) and np.abs(np.asarray(picture).astype(int) - film.rgb(3)).mean() < 12
    client.paint(3, FIRST, [1, 2])
    mask = Image.open(io.BytesIO(client.request("GET", "mask/3.png")[1]))
    assert mask.mode == "L" and np.array_equal(np.asarray(mask), FIRST)
    assert client.request("GET", "mask/10.png")[0] == client.request("GET", "frame/10.jpg")[0] == 400


def test_a_correction_gives_what_segment_video_gives(page: tuple[Client, Studio], tmp_path: Path) -> None:
    client, studio = page
    folder, film = studio.require().folder, tmp_path / "clip.mp4"
    client.paint(0, FIRST, [1, 2])
    state = client.run("forward", 0)
    assert state["status"] == "1" * LENGTH and same(results(folder), expected(film, {0: FIRST}))
    client.paint(5, LATER, [1])
    assert client.state()["session"]["status"] == "1" * 5 + "3" * 5
    state = client.run("forward", 5)
    assert state["status"] == "1" * LENGTH and state["given"]["5"]["corrected"] and not state["given"]["0"]["corrected"]
    wanted = expected(film, {0: FIRST, 5: (LATER, [1])})
    assert same(results(folder), wanted) and not same(wanted, expected(film, {0: FIRST}))


def test_backward_and_both(page: tuple[Client, Studio], tmp_path: Path) -> None:
    client, studio = page
    client.paint(6, FIRST, [1, 2])
    assert client.run("both", 6)["status"] == "2" * 7 + "1" * 3
    film, folder = tmp_path / "clip.mp4", studio.require().folder
    wanted = expected(film, {6: FIRST}, stop=7, reverse=True) | expected(film, {6: FIRST}, start=6)
    assert same(results(folder), dict(sorted(wanted.items())))
    client.paint(3, LATER, [1])
    client.run("backward", 3)
    wanted |= expected(film, {6: FIRST, 3: (LATER, [1])}, stop=7, reverse=True)
    assert same(results(folder), dict(sorted(wanted.items())))


def test_downloads(page: tuple[Client, Studio]) -> None:
    client, studio = page
    assert "nothing to download" in client.refused("export", kind="masks")
    client.paint(2, FIRST, [1, 2])
    client.run("forward", 2)
    for kind in ("masks", "overlay", "coco"):
        assert client.request("GET", f"download/{kind}")[0] == 404
        client.act("export", kind=kind)
        end = time.monotonic() + 120
        while client.request("GET", f"download/{kind}")[0] != 200:
            assert time.monotonic() < end
    wanted = results(studio.require().folder)
    with zipfile.ZipFile(io.BytesIO(client.request("GET", "download/masks")[1])) as archive:
        assert archive.namelist() == [f"{number:05d}.png" for number in range(2, LENGTH)]
        for name in archive.namelist():
            image = Image.open(io.BytesIO(archive.read(name)))
            assert image.mode == "P" and np.array_equal(np.asarray(image), wanted[Path(name).stem])
    exports = studio.require().folder / "exports"
    coco = read_coco(exports / "coco.json")
    assert all(np.array_equal(coco.id_mask(name), wanted[name]) for name in wanted)
    assert len(open_frames(exports / "overlay.mp4").names) == LENGTH
    assert "expected one of masks, overlay, coco" in client.refused("export", kind="../x")


def test_a_second_tab_cannot_overwrite_what_it_has_not_seen(page: tuple[Client, Studio]) -> None:
    client, studio = page
    first = client.paint(0, FIRST, [1, 2])
    second = client.paint(0, LATER, [1, 2], first)
    status, body = client.request("PUT", f"given/0?objects=1,2&version={first}", client.request("GET", "mask/0.png")[1])
    assert status == 409 and "another tab" in json.loads(body)["error"]
    assert np.array_equal(studio.require().shown(0), LATER)
    assert client.paint(0, 0 * FIRST, [], second) == 0 and client.state()["session"]["given"] == {}


def test_unfit_masks_are_refused(page: tuple[Client, Studio]) -> None:
    client, _ = page

    def refused(path: str, mask: Image.Image | bytes) -> str:
        content = io.BytesIO(mask if isinstance(mask, bytes) else b"")
        if not isinstance(mask, bytes):
            mask.save(content, format="PNG")
        status, answer = client.request("PUT", path, content.getvalue())
        assert status == 400
        return str(json.loads(answer)["error"])

    grey = Image.fromarray(FIRST)
    assert "expected a PNG of 64x48 pixels, received no picture" in refused("given/0?objects=1", b"no picture")
    assert "received 32x24 pixels" in refused("given/0?objects=1", grey.resize((32, 24)))
    assert "received colours" in refused("given/0?objects=1", Image.new("RGB", (64, 48), "red"))
    assert "expected the objects [1]" in refused("given/0?objects=1", grey)
    assert "expected the objects [1, 9]" in refused("given/0?objects=1,9", Image.fromarray(LATER))
    assert "there is no frame 99" in refused("given/99?objects=1,2", grey)
    assert "The mask has 32x24 pixels, the film 64x48" in refused("import/0", grey.resize((32, 24)))
    assert "mask file has mode RGB" in refused("import/0", Image.new("RGB", (64, 48)))
    assert "mask file is not an image file" in refused("import/0", b"no picture")
    assert "holds no object" in refused("import/0", Image.new("L", (64, 48)))
    assert client.state()["session"]["given"] == {}


def test_an_imported_mask_brings_its_objects(page: tuple[Client, Studio]) -> None:
    client, studio = page
    content = io.BytesIO()
    Image.fromarray(square(3, 3, 7) + LATER * 2).save(content, format="PNG")
    client.json("PUT", "import/4", content.getvalue())
    state = client.state()["session"]
    assert [item["id"] for item in state["objects"]] == [1, 2, 7] and state["given"]["4"]["objects"] == [2, 7]
    assert client.act("add_object")["id"] == 8
    assert sorted(np.unique(studio.require().shown(4))) == [0, 2, 7]


def test_an_upload_is_a_film_or_leaves_nothing(page: tuple[Client, Studio], tmp_path: Path) -> None:
    client, studio = page
    before = sorted(studio.root.rglob("*"))
    for content in (b"", b"no film", b"<html>" * 1000, (tmp_path / "clip.mp4").read_bytes()[:400]):
        status, body = client.request("PUT", "film?name=film.mp4", content)
        assert status == 400 and "film.mp4" in json.loads(body)["error"], content[:10]
    assert sorted(studio.root.rglob("*")) == before and client.state()["session"]["name"] == "clip"
    client.json("PUT", "film?name=My%20film.MP4", write_clip(tmp_path / "b.mp4", 4).read_bytes())
    state = client.state()["session"]
    assert (state["name"], state["frames"]) == ("My film", 4)
    assert (studio.root / "my-film" / "film.mp4").is_file()
    client.act("close")
    assert {entry["folder"] for entry in client.state()["sessions"]} == {"clip", "my-film"}
    client.act("open", folder="clip")
    assert len(client.state()["session"]["objects"]) == 2


def test_what_can_not_be_done_is_said(page: tuple[Client, Studio]) -> None:
    client, _ = page
    client.wait(lambda state: state["worker"]["phase"] == "idle")
    assert "direction 'up'" in client.refused("propagate", direction="up", frame=0)
    assert "there is no frame -1" in client.refused("propagate", direction="forward", frame=-1)
    assert "there is no object 5" in client.refused("delete_object", id=5)
    assert "colour can't be 'red'" in client.refused("change_object", id=1, changes={"colour": "red"})
    assert "size 3: expected 64 to 2160" in client.refused("set_size", size=3)
    assert "No clip is packaged" in client.refused("open_packaged")
    assert client.request("POST", "do/everything", b"{}")[0] == client.request("POST", "do/stop", b"{")[0] == 404
    client.act("propagate", direction="forward", frame=0)
    said = client.wait(lambda state: "message" in state["worker"])["worker"]["message"]
    assert said.startswith("Nothing is painted on this frame")


def test_deleted_objects_leave_all_masks(page: tuple[Client, Studio]) -> None:
    client, studio = page
    client.paint(0, FIRST, [1, 2])
    client.run("forward", 0)
    client.act("delete_object", id=1)
    session = studio.require()
    assert all(1 not in session.shown(frame) for frame in range(LENGTH)) and 2 in session.shown(0)
    assert client.state()["session"]["status"] == "3" * LENGTH
    client.run("forward", 0)
    assert 1 not in results(session.folder)["00005"]


def test_a_server_killed_while_it_propagates_loses_nothing(tmp_path: Path) -> None:
    length = 90
    checkpoint, film = toy_checkpoint(tmp_path / "toy.pth"), write_clip(tmp_path / "clip.mp4", length)
    sessions = tmp_path / "sessions"
    with serve_apart(checkpoint, sessions, str(film), "--size", "-1") as (client, process):
        client.act("add_object")
        client.act("add_object")
        client.paint(0, FIRST, [1, 2])
        client.act("propagate", direction="forward", frame=0)
        client.wait(lambda state: state["session"]["status"].count("1") > 30)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    folder = sessions / "clip"
    stored = json.loads((folder / "session.json").read_text())
    kept = results(folder)
    done = stored["status"].count("1")
    assert 16 < done < length and len(kept) >= done and len(list((folder / "snapshots").glob("*.pt"))) >= 1
    with serve_apart(checkpoint, sessions, str(film)) as (client, _):
        state = client.state()["session"]
        assert state["status"] == stored["status"] and [item["id"] for item in state["objects"]] == [1, 2]
        assert list(state["given"]) == ["0"]
        assert client.run("forward", 0)["status"] == "1" * length
    found = results(folder)
    assert len(found) == length and all(np.array_equal(found[name], kept[name]) for name in kept)
    wanted = segment_video(load_checkpoint(checkpoint), film, {0: FIRST}, -1)
    for frame in wanted:
        assert np.array_equal(found[frame.name], frame.id_mask), frame.name
