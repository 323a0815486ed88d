"""News for every open page: server-sent events, fed from any thread."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from typing import Any

_WAITING = 256  # messages for a page that doesn't read; then it gets a fresh state instead
_BEAT = 15.0  # seconds between signs of life, which also show that a page has gone


class Events:
    """Hands messages to all open pages."""

    def __init__(self) -> None:
        """No page is open."""
        self._pages: dict[asyncio.Queue[dict[str, Any]], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    def publish(self, message: dict[str, Any]) -> None:
        """Send a message with a `type` to every page; callable from any thread, never waits."""
        with self._lock:
            pages = list(self._pages.items())
        for queue, loop in pages:
            try:
                loop.call_soon_threadsafe(_put, queue, message)
            except RuntimeError:  # the loop ends with the server
                continue

    def close(self) -> None:
        """Let all streams end."""
        self.publish({"type": "closed"})

    async def stream(self) -> AsyncGenerator[str, None]:
        """Yield messages in the format of server-sent events, for one page."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)
        with self._lock:
            self._pages[queue] = asyncio.get_running_loop()
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _BEAT)
                except asyncio.TimeoutError:  # noqa: UP041 - another class than TimeoutError before Python 3.11
                    yield ": here\n\n"
                    continue
                yield f"data: {json.dumps(message, separators=(',', ':'))}\n\n"
                if message["type"] == "closed":
                    return
        finally:
            with self._lock:
                del self._pages[queue]


def _put(queue: "asyncio.Queue[dict[str, Any]]", message: dict[str, Any]) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        message = {"type": "refresh"}
    queue.put_nowait(message)
