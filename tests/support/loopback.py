"""An HTTP server on the loopback interface that serves one file, with faults."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(content: bytes) -> Iterator["Server"]:
    """Serve a file for the length of a `with` block."""
    with Server(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Server(ThreadingHTTPServer):
    """Serves one file and remembers what it was asked; the attributes are its faults."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.etag: str | None = '"v1"'
        self.modified: str | None = None
        self.break_after: list[int] = []  # bytes of the next answers before the connection breaks
        self.statuses: list[int] = []  # of the next answers, instead of the file
        self.honours_range = True
        self.honours_condition = True  # that the file is still the same one
        self.redirect: str | None = None  # where the next requests are sent to
        self.tells_length = True
        self.trickle_s = 0.0  # between two bytes of an answer
        self.trickles_head = False  # so that the head of an answer never ends
        self.shift = 0  # of a range's start, for a server that answers with another one
        self.ranges: list[str | None] = []
        self.conditions: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/net.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        condition = self.headers.get("If-Range")
        server.conditions.append(condition)
        if self.answered_otherwise():
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.honours_range else 0
        if server.honours_condition and condition not in (None, server.etag, server.modified):
            start = 0
        if start and start >= len(server.content):
            self.send_error(416)
            return
        start = start and start + server.shift
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last, whole = len(server.content) - 1, len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{last}/{whole}")
        for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value is not None:
                self.send_header(name, value)
        if server.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: server.break_after.pop(0)] if server.break_after else body
        if server.trickle_s:
            self.trickle(body)
        else:
            self.wfile.write(body)

    def answered_otherwise(self) -> bool:
        """Answer with something else than the file, if the next answer is to be such."""
        server = self.server
        if server.redirect is not None:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
        elif server.trickles_head:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self.trickle(b"X-Slow: " + bytes(1000))
        elif server.statuses:
            self.send_error(server.statuses.pop(0))
        else:
            return False
        return True

    def trickle(self, body: bytes) -> None:
        """Send a byte at a time, for as long as the other side listens."""
        try:
            for value in body:
                self.wfile.write(bytes([value]))
                time.sleep(self.server.trickle_s)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""
