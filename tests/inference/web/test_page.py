"""The page in a real browser: upload, paint two objects, propagate, correct one later, propagate again, download.

What is asserted lies on the disk and in the download; the page's pixels are not looked at.
"""

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.disk.frames import open_frames
from inference import segment_video
from inference.web.studio import Studio
from tests.support.page import CONFIG, Client, serve, square, write_clip
from tests.support.toy_videos import HEIGHT, WIDTH, toy_model
from util.files.palette import read_mask, write_mask

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
LENGTH = 10


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Page:
    """A tab, and how its user works: in pixels of the film."""

    def __init__(self, browser: Any, address: str) -> None:
        self.tab = browser.new_page(viewport={"width": 1280, "height": 720})
        self.faults: list[str] = []
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.set_default_timeout(240_000)
        self.tab.goto(address)
        self.until("corrvos.state")

    def until(self, condition: str) -> None:
        self.tab.wait_for_function(f"() => {condition}")

    def settled(self) -> None:
        """Wait until the open frame is shown, everything is saved and nothing runs."""
        self.until("corrvos.painter.document && !corrvos.loading && !corrvos.saving && !corrvos.running")

    def key(self, key: str) -> None:
        self.tab.keyboard.press(key)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the film is on the screen."""
        where = "(([x, y]) => { const v = corrvos.view, b = v.canvas.getBoundingClientRect(), r = devicePixelRatio; "
        where += "return [b.left + (v.x + x * v.scale) / r, b.top + (v.y + y * v.scale) / r]; })"
        left, top = self.tab.evaluate(where, [x, y])
        return left, top

    def new_object(self) -> None:
        count = self.tab.locator("#objects li").count()
        self.key("n")
        self.until(f"document.querySelectorAll('#objects li').length === {count + 1}")

    def drag(self, *points: tuple[float, float]) -> None:
        self.tab.mouse.move(*self.at(*points[0]))
        self.tab.mouse.down()
        for point in points[1:]:
            self.tab.mouse.move(*self.at(*point), steps=4)
        self.tab.mouse.up()
        self.settled()

    def polygon(self, *corners: tuple[float, float]) -> None:
        self.key("p")
        for corner in corners:
            self.tab.mouse.click(*self.at(*corner))
        self.key("Enter")
        self.settled()

    def go(self, frame: int) -> None:
        self.tab.fill("#frame", str(frame))
        self.key("Enter")
        self.until(f"corrvos.frame === {frame} && !corrvos.loading")

    def propagate(self, button: str = "#forward") -> None:
        self.until("corrvos.worker.phase === 'idle'")
        self.tab.evaluate("window.ran = 0; setInterval(() => { if (corrvos.running) window.ran = 1; }, 1)")
        self.tab.click(button)
        self.until("window.ran && corrvos.worker.phase === 'idle'")
        self.settled()

    def download(self, kind: str, path: Path) -> Path:
        with self.tab.expect_download() as waiting:
            self.tab.click(f"[data-export={kind}]")
        waiting.value.save_as(path)
        return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Client, Studio]]:
    with serve(tmp_path / "sessions") as pair:
        yield pair


def results(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: read_mask(file) for file in sorted((folder / "results").glob("*.png"))}


def given(folder: Path, frame: int) -> np.ndarray:
    (file,) = (folder / "given").glob(f"{frame:05d}-*.png")
    return read_mask(file)


def test_from_an_upload_to_the_download(browser: Any, served: tuple[Client, Studio], tmp_path: Path) -> None:
    client, studio = served
    film = write_clip(tmp_path / "clip.mp4", LENGTH)
    page = Page(browser, client.address)
    page.tab.set_input_files("#file", film)
    page.until("corrvos.session && corrvos.painter.document")
    page.new_object()
    page.polygon((6, 6), (22, 6), (22, 22), (6, 22))
    page.new_object()
    page.key("b")
    page.drag((34, 30), (46, 30), (46, 40))
    folder = studio.root / "clip"
    first = given(folder, 0)
    assert np.array_equal(first == 1, square(6, 6, 1, 16) == 1) and 150 < (first == 2).sum() < 500
    page.propagate()
    before = results(folder)
    page.go(6)
    page.key("1")
    page.polygon((40, 4), (56, 4), (56, 12), (40, 12))
    correction = given(folder, 6)
    assert set(np.unique(correction)) == {0, 1} and (correction[4:12, 40:56] == 1).all()
    page.propagate()
    assert client.state()["session"]["status"] == "1" * LENGTH and page.faults == []

    masks: dict[int, Any] = {0: first, 6: (correction, [1])}
    frames = segment_video(toy_model(), film, masks, -1, CONFIG)
    wanted = {frame.name: frame.id_mask for frame in frames}
    found = results(folder)
    assert found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert any(not np.array_equal(before[name], wanted[name]) for name in wanted)
    with zipfile.ZipFile(page.download("masks", tmp_path / "masks.zip")) as archive:
        assert archive.namelist() == [f"{name}.png" for name in wanted]
        for name in wanted:
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read(f"{name}.png")))), wanted[name])
    assert len(open_frames(page.download("overlay", tmp_path / "overlay.mp4")).names) == LENGTH
    assert len(json.loads(page.download("coco", tmp_path / "coco.json").read_text())["images"]) == LENGTH


def test_every_tool_undo_and_import(browser: Any, served: tuple[Client, Studio], tmp_path: Path) -> None:
    client, studio = served
    studio.open_path(write_clip(tmp_path / "clip.mp4", 3))
    session = studio.require()
    page = Page(browser, client.address)
    page.settled()
    page.new_object()
    page.tab.evaluate("corrvos.painter.size = 2")
    page.drag((10, 10), (30, 10), (30, 30), (10, 30), (10, 10))
    outline = session.shown(0)
    page.key("f")
    page.tab.mouse.click(*page.at(20, 20))
    page.settled()
    filled = session.shown(0)
    assert outline[20, 20] == 0 and (filled[11:30, 11:30] == 1).all() and filled.sum() < 500
    page.tab.mouse.click(*page.at(50, 40))
    page.until("document.querySelector('#messages').textContent.includes('close the outline')")
    page.key("e")
    page.tab.evaluate("corrvos.painter.size = 8")
    page.drag((20, 20), (21, 20))
    erased = session.shown(0)
    assert erased[20, 20] == 0 and erased.sum() < filled.sum()
    for key, wanted in (("z", filled), ("z", outline), ("y", filled), ("y", erased)):
        page.key(f"Control+{key}")
        page.settled()
        assert np.array_equal(session.shown(0), wanted), key
    page.tab.mouse.move(*page.at(20, 20))
    page.tab.mouse.wheel(0, -600)
    page.new_object()
    page.key("b")
    page.drag((22, 22), (23, 22))
    painted = session.shown(0)
    assert painted[22, 22] == 2 and np.array_equal(painted == 1, (erased == 1) & (painted != 2))
    write_mask(tmp_path / "mask.png", square(3, 3, 5))
    page.go(1)
    page.tab.set_input_files("#mask-file", tmp_path / "mask.png")
    page.until("corrvos.session.given[1] && !corrvos.loading && corrvos.painter.document?.version")
    assert np.array_equal(session.shown(1), square(3, 3, 5)) and session.ids == [1, 2, 5]
    assert page.tab.evaluate("corrvos.painter.document.ids.length") == HEIGHT * WIDTH
    assert page.tab.evaluate("corrvos.painter.document.ids.reduce((a, b) => a + b, 0)") == int(session.shown(1).sum())
    assert page.faults == []


def test_a_second_tab_sees_the_same_and_a_reopened_page_finds_it(
    browser: Any, served: tuple[Client, Studio], tmp_path: Path
) -> None:
    client, studio = served
    studio.open_path(write_clip(tmp_path / "clip.mp4", 3))
    session = studio.require()
    one, two = Page(browser, client.address), Page(browser, client.address)
    one.settled()
    two.settled()
    one.new_object()
    one.drag((20, 20), (30, 20))
    seen = f"corrvos.painter.document?.ids.reduce((a, b) => a + b, 0) === {int(session.shown(0).sum())}"
    two.until(seen)
    two.key("1")
    two.drag((40, 30), (50, 30))
    both = session.shown(0)
    assert both[20, 25] == both[30, 45] == 1
    one.until(f"corrvos.painter.document?.ids.reduce((a, b) => a + b, 0) === {int(both.sum())}")
    one.tab.close()
    two.tab.close()
    again = Page(browser, client.address)
    again.settled()
    assert again.tab.evaluate("corrvos.painter.document.ids.reduce((a, b) => a + b, 0)") == int(both.sum())
    assert one.faults == two.faults == again.faults == []
