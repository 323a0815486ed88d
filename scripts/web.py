"""Serves the page: paint objects in a browser, propagate, correct, download.

python scripts/web.py clip.mp4
python scripts/web.py frames_folder --checkpoint checkpoints/XMem.pth
python scripts/web.py                     # choose or drop a film in the page
"""

import logging
import secrets
import socket
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset.sample.sample import CHAIR
from inference.config import InferenceConfig
from inference.output.record import digest
from inference.segmenter import build_segmenter
from model import box
from model.weights import load_checkpoint
from util.cli import run
from util.device import select_device, set_up
from util.files.hub import local_checkpoint

if TYPE_CHECKING:
    from inference.web.worker import Network

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """What to show, with which network, and to whom."""

    clip: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """A film, a folder of frames or a session's folder (default: the page lets one choose)."""
    checkpoint: Path = Path("box")
    """The trained network (default: the small one that comes with the project)."""
    sessions: Path = Path("sessions")
    """The folder of sessions, one folder each, which can be opened again."""
    size: int | None = None
    """Pixels of the shorter side at which the network works in new sessions (default: 240 with the small network that
    comes with the project, else 480); -1 is the film's own."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:INDEX or mps."""
    host: str = "127.0.0.1"
    """The address to listen on; another than loopback needs --allow_remote."""
    port: int = 0
    """The port; 0 takes a free one."""
    allow_remote: bool = False
    """Let other machines in that know the address with its key; the connection is not encrypted."""
    browser: bool = True
    """Open the page in a browser."""


def main(config: WebConfig) -> None:
    """Serve until Ctrl-C."""
    check(config)
    uvicorn = import_uvicorn()
    from inference.web.events import Events
    from inference.web.server import build_app
    from inference.web.studio import Studio
    from inference.web.worker import Worker

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    events = Events()
    worker = Worker(lambda: load(config), events)
    usual = box.SIZE if str(config.checkpoint) == box.NAME else 480
    size = usual if config.size is None else config.size
    studio = Studio(config.sessions, worker, events, size, CHAIR / "JPEGImages" / "chair")
    if config.clip:
        studio.open_path(config.clip[0])
    listener = listen(config.host, config.port)
    token = secrets.token_urlsafe(18)
    port = listener.getsockname()[1]
    remote = config.host not in _LOOPBACK
    hosts = frozenset([*_LOOPBACK, config.host, *([socket.gethostname()] if remote else [])])
    host = socket.gethostname() if config.host in ("0.0.0.0", "::") else config.host
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{port}/{token}/"
    print(address, flush=True)
    if config.browser:
        webbrowser.open(address)
    app = build_app(studio, token, hosts, any_address=remote)
    settings = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(settings)
    leave = server.handle_exit

    def end(*arguments: Any) -> None:
        events.close()  # else the pages' open streams would keep the server
        leave(*arguments)

    server.handle_exit = end
    try:
        server.run(sockets=[listener])
    finally:
        worker.close()


def check(config: WebConfig) -> None:
    """Raise ValueError for flags that contradict each other or values out of range."""
    if len(config.clip) > 1:
        raise ValueError(f"expected one film or folder, received {len(config.clip)}")
    if config.host not in _LOOPBACK and not config.allow_remote:
        raise ValueError(
            f"--host {config.host} lets other machines in: add --allow_remote if that is meant, or reach this one "
            "through a tunnel (ssh -L 8000:127.0.0.1:PORT)"
        )
    if not 0 <= config.port <= 65535:
        raise ValueError(f"--port {config.port}: expected 0 to 65535")
    if config.size not in (None, -1) and not 64 <= config.size <= 2160:
        raise ValueError(f"--size {config.size}: expected 64 to 2160 pixels, or -1 for the film's own")


def import_uvicorn():  # type: ignore[no-untyped-def]
    """Return uvicorn; raises ValueError with the remedy where the page's packages are missing."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ValueError(
            f"the page needs {error.name}: python -m pip install -r inference/web/requirements.txt"
        ) from error
    return uvicorn


def load(config: WebConfig) -> "Network":
    """Load the network, in the thread that will run it: a GPU is the current one of a thread."""
    from inference.web.worker import Network

    path = local_checkpoint(box.checkpoint_path(config.checkpoint))
    origin = digest(path)  # first, since it names a missing file
    device = select_device(config.device)
    set_up(device, fixed_sizes=False)  # films and numbers of objects change as the user likes
    segmenter = build_segmenter(load_checkpoint(path), InferenceConfig(), device)
    return Network(name=path.stem, origin=origin, segmenter=segmenter)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"can't listen on {host} port {port}: {error.strerror}") from error
    listener.listen()
    return listener


if __name__ == "__main__":
    run(main, WebConfig, "web.py", __doc__ or "")
