"""scripts/web.py's flags: what is refused before anything is loaded."""

import socket
import sys
import threading
from collections.abc import Sequence

import pytest
import torch

from inference.web.events import Events
from inference.web.worker import Worker
from scripts import web
from util.cli import run


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        run(web.main, web.WebConfig, "web.py", "", list(words))
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "error: --host 0.0.0.0 lets other machines in: add --allow_remote if that is meant"),
        (["a.mp4", "b.mp4"], "error: expected one film or folder, received 2"),
        (["--port", "70000"], "error: --port 70000: expected 0 to 65535"),
        (["--size", "9"], "error: --size 9: expected 64 to 2160 pixels"),
    ],
)
def test_unfit_flags(capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str) -> None:
    assert refused(capsys, *words).startswith(message)


def test_without_its_packages_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert refused(capsys) == ("error: the page needs uvicorn: python -m pip install -r inference/web/requirements.txt")


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"can't listen on 127.0.0.1 port {port}"):
            web.listen("127.0.0.1", port)


def test_the_device_is_set_up_in_the_thread_that_runs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, bool, str]] = []

    def note(device: torch.device, *, fixed_sizes: bool) -> None:
        calls.append((device.type, fixed_sizes, threading.current_thread().name))

    monkeypatch.setattr(web, "set_up", note)
    worker = Worker(lambda: web.load(web.WebConfig(device="cpu")), Events())
    worker.close()
    assert worker.status["phase"] == "idle"
    assert calls == [("cpu", False, "network")]
