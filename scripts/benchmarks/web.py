"""Measures the page: frames a second while it propagates, time from mouse-up to a saved stroke, memory for a long film.

python scripts/benchmarks/web.py                          # packaged network, 240p; 120 frames are propagated
python scripts/benchmarks/web.py --frames 3000            # a film of 3,000 frames, of which 120 are propagated
python scripts/benchmarks/web.py --frames 3000 --propagated 3000

It needs inference/web/requirements.txt, playwright and chromium. The film is generated. Memory is the proportional set
size: of the server's process, and of all of chromium's together.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dataset.sample.scenes import Scene, draw
from inference.output.film import OverlayVideo
from util.cli import run

_FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
_SHOWN = 60  # frames looked at, all over the film


@dataclass(frozen=True, kw_only=True)
class WebBenchmarkConfig:
    """What to measure with."""

    checkpoint: str = "box"
    """The network."""
    size: int = 240
    """Pixels of the shorter side at which it works."""
    frames: int = 120
    """Frames of the film."""
    propagated: int = 120
    """Frames that are propagated, at most those of the film."""
    strokes: int = 20
    """Strokes that are painted."""
    chromium: str = "/usr/bin/chromium"
    """The browser."""


def main(config: WebBenchmarkConfig) -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        write_film(film, config.frames)
        with server(config, film, Path(folder)) as (address, process), tab(config, address) as (page, browser):
            page.wait_for_function("() => corrvos.painter.document && corrvos.worker.phase === 'idle'")
            report("opened", process, browser)
            strokes = paint(page, config.strokes)
            print(f"stroke, mouse-up to saved: median {statistics.median(strokes):.0f}, longest {max(strokes):.0f} ms")
            used = cpu_seconds(process)
            count = min(config.propagated, config.frames)
            speed = propagate(page, count, Path(folder, "sessions", "film", "results"))
            used = (cpu_seconds(process) - used) / count
            print(f"propagating: {speed:.1f} frames/s saved and shown; {used:.3f} s of a core each in the server")
            report("propagated", process, browser)
            for frame in np.linspace(0, config.frames - 1, _SHOWN).astype(int):
                page.evaluate(f"import('./page/app.js').then(({{ go }}) => go({frame}))")
                page.wait_for_function(f"() => corrvos.frame === {frame}")
            report(f"{_SHOWN} frames looked at", process, browser)


def write_film(path: Path, length: int) -> None:
    """Write a film of 448x256 pixels: a generated clip, there and back again."""
    clip = [rgb for rgb, _ in draw(Scene(seed=21))]
    film = OverlayVideo(path, fps=24)
    for number in range(length):
        place = number % (2 * len(clip))
        rgb = clip[min(place, 2 * len(clip) - 1 - place)]
        film.add(rgb, np.zeros(rgb.shape[:2], np.uint8))
    film.close()


@contextmanager
def server(config: WebBenchmarkConfig, film: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """Serve a film; yields address and process id."""
    words = [str(film), "--checkpoint", config.checkpoint, "--size", str(config.size), "--no_browser"]
    command = [sys.executable, str(Path(__file__).with_name("web.py")), *words, "--sessions", str(folder / "sessions")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def tab(config: WebBenchmarkConfig, address: str) -> Iterator[tuple[Any, list[int]]]:
    """Open the page; yields the tab and the ids of the browser's processes."""
    from playwright.sync_api import sync_playwright

    before = children(os.getpid())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=config.chromium, args=_FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(3_600_000)
        page.goto(address)
        page.wait_for_function("() => window.corrvos?.session")
        yield page, [i for i in children(os.getpid()) if i not in before and "chromium" in command_of(i)]
        browser.close()


def paint(page: Any, count: int) -> list[float]:
    """Paint strokes of one object; returns the milliseconds that each took to be saved."""
    page.keyboard.press("n")
    page.wait_for_function("() => corrvos.painter.object")
    box = page.locator("#picture").bounding_box()
    for number in range(count):
        x, y = box["x"] + box["width"] * (0.3 + 0.4 * number / count), box["y"] + box["height"] * 0.4
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 8, y + 60, steps=5)
        page.mouse.up()
        page.wait_for_function("() => !corrvos.saving")
    return [float(t) for t in page.evaluate("performance.getEntriesByName('stroke saved').map((e) => e.duration)")]


def propagate(page: Any, count: int, results: Path) -> float:
    """Propagate so many frames; returns frames a second, by the times at which their masks were saved."""
    page.click("#forward")
    page.wait_for_function(f"() => corrvos.session.status.split('1').length > {count}")
    page.evaluate("document.getElementById('stop').click()")
    page.wait_for_function("() => !corrvos.running")
    times = sorted(file.stat().st_mtime for file in results.glob("*.png"))
    return (len(times) - 1) / (times[-1] - times[0])


def children(parent: int) -> list[int]:
    """Return the ids of all processes below one."""
    found, todo = [], [parent]
    while todo:
        tasks = Path(f"/proc/{todo.pop()}/task")
        for file in tasks.glob("*/children"):
            mine = [int(word) for word in file.read_text().split()]
            found += mine
            todo += mine
    return found


def command_of(process: int) -> str:
    """Return a process's command line, empty if it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def cpu_seconds(process: int) -> float:
    """Return the seconds of a core that a process has used."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Return a process's proportional set size in MiB, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def report(when: str, process: int, browser: list[int]) -> None:
    """Print memory."""
    print(f"memory, {when}: server {memory(process):.0f} MiB, browser {sum(map(memory, browser)):.0f} MiB", flush=True)


if __name__ == "__main__":
    run(main, WebBenchmarkConfig, "web.py", __doc__ or "")
