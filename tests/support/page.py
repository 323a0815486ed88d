"""The page's server with a small network, in this process or in one of its own, and a client that knows its rules."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
import uvicorn

from inference.config import InferenceConfig
from inference.segmenter import build_segmenter
from inference.web.events import Events
from inference.web.film import encode_ids
from inference.web.server import build_app
from inference.web.studio import Studio
from inference.web.worker import Network, Worker
from tests.support.paths import ROOT
from tests.support.toy_videos import HEIGHT, WIDTH, draw, toy_model

TOKEN = "key-of-the-tests"
CONFIG = InferenceConfig(mem_every=2, top_k=5)


def write_clip(path: Path, length: int = 10) -> Path:
    """Write a film of moving squares."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(length):
            rgb = draw(frame % 12, (1, 2), seed=frame // 12)[0]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def toy_network() -> Network:
    return Network(name="toy", origin="toy", segmenter=build_segmenter(toy_model(), CONFIG))


def square(left: int, top: int, value: int, side: int = 14) -> np.ndarray:
    """Return a mask of the films of `write_clip` with one square."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + side, left : left + side] = value
    return mask


class Client:
    """Talks to a server as the page does."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.address = address
        self.host = parts.netloc
        self.root = parts.path

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request to a path below the key, or to one that begins with a slash; returns status and body."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            own = {"Host": self.host, "Origin": f"http://{self.host}"} | (headers or {})
            where = path if path.startswith("/") else self.root + path
            connection.putrequest(method, where, skip_host=True)
            for name, value in own.items():
                if value:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Send a request that must succeed."""
        status, content = self.request(method, path, body)
        assert status == 200, (status, content)
        return json.loads(content)

    def act(self, action: str, **wish: Any) -> dict[str, Any]:
        return self.json("POST", f"do/{action}", json.dumps(wish).encode())

    def refused(self, action: str, **wish: Any) -> str:
        """Ask for something that must be refused; returns the message."""
        status, content = self.request("POST", f"do/{action}", json.dumps(wish).encode())
        assert status == 400, (status, content)
        return str(json.loads(content)["error"])

    def state(self) -> dict[str, Any]:
        return self.json("GET", "state")

    def paint(self, frame: int, mask: np.ndarray, objects: list[int], version: int = 0) -> int:
        about = ",".join(map(str, objects))
        path = f"given/{frame}?objects={about}&version={version}"
        return int(self.json("PUT", path, encode_ids(mask))["version"])

    def wait(self, ready: Callable[[dict[str, Any]], bool], seconds: float = 240) -> dict[str, Any]:
        """Wait until the state is as wanted."""
        end = time.monotonic() + seconds
        while not ready(state := self.state()):
            assert time.monotonic() < end, state["worker"]
            time.sleep(0.05)
        return state

    def run(self, direction: str, frame: int) -> dict[str, Any]:
        """Propagate, and wait for the end; returns the session's state."""
        self.wait(lambda state: state["worker"]["phase"] == "idle")
        self.act("propagate", direction=direction, frame=frame)
        return self.wait(lambda state: not state["busy"])["session"]


@contextmanager
def serve(sessions: Path, clip: Path | None = None) -> Iterator[tuple[Client, Studio]]:
    """Run a server in a thread of this process."""
    events = Events()
    worker = Worker(toy_network, events)
    studio = Studio(sessions, worker, events, size=-1)
    if clip is not None:
        studio.open_path(clip)
    hosts = frozenset(["127.0.0.1", "localhost"])
    app = build_app(studio, TOKEN, hosts)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Client(f"http://127.0.0.1:{port}/{TOKEN}/"), studio
    finally:
        events.close()
        server.should_exit = True
        thread.join()
        worker.close()


@contextmanager
def serve_apart(checkpoint: Path, sessions: Path, *words: str) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    """Run `scripts/web.py`; it is killed at the end if it is alive."""
    command = [sys.executable, str(ROOT / "scripts" / "web.py"), *words]
    command += ["--checkpoint", str(checkpoint), "--sessions", str(sessions), "--no_browser", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Client(process.stdout.readline().strip()), process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
