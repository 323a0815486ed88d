"""Requests over http and https alone, after redirects, too, whose answer has to begin within a time limit."""

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

SCHEMES = ("http", "https")


class SchemeError(ValueError):
    """An address that is neither http nor https."""


def open_url(url: str, headers: Mapping[str, str], timeout_s: float, limit_s: float) -> http.client.HTTPResponse:
    """Ask for `url`, follow redirects, and return the answer with its body unread.

    Args:
        url: http or https address.
        headers: of the request.
        timeout_s: seconds without any sign of the server, now and while the body is read.
        limit_s: seconds until connection and head of the answer must be there, however busily the server trickles.

    Raises:
        SchemeError: `url`, or an address that it leads to, is no http or https address.
        urllib.error.HTTPError: the server answered with an error status.
        OSError, http.client.HTTPException: no connection, or no answer in time.
    """
    _check_scheme(url)
    connections: list[http.client.HTTPConnection] = []
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _HTTPHandler(connections),
        _HTTPSHandler(connections),
        urllib.request.HTTPDefaultErrorHandler(),
        _RedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers=dict(headers))
    with _time_limit(connections, limit_s) as late:
        answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
        if late.is_set():  # where the connection was cut, the head seems to end
            answer.close()
            raise TimeoutError
        return answer


def _check_scheme(url: str) -> None:
    scheme = urlsplit(url).scheme.lower()
    if scheme not in SCHEMES:
        raise SchemeError(f"{url[:200]} is not fetched: expected an http or https address, received {scheme or 'none'}")


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only; Python's own follows them to ftp, too."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            _check_scheme(newurl)
        except SchemeError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _HTTPHandler(urllib.request.HTTPHandler):
    """Remembers its connections, so that one can be cut."""

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._connections = connections

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)  # type: ignore[arg-type]

    def _connect(self, host: str, **arguments: Any) -> http.client.HTTPConnection:
        self._connections.append(http.client.HTTPConnection(host, **arguments))
        return self._connections[-1]


class _HTTPSHandler(urllib.request.HTTPSHandler):
    """As `_HTTPHandler`."""

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._connections = connections

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)  # type: ignore[arg-type]

    def _connect(self, host: str, **arguments: Any) -> http.client.HTTPConnection:
        self._connections.append(http.client.HTTPSConnection(host, **arguments))
        return self._connections[-1]


@contextmanager
def _time_limit(connections: list[http.client.HTTPConnection], limit_s: float) -> Iterator[threading.Event]:
    """Cut the connections when the block takes too long: a time-out of the socket starts anew with every byte."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        for connection in connections:
            if connection.sock is not None:
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # closed already

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    except (OSError, http.client.HTTPException) as error:
        if late.is_set() and not isinstance(error, urllib.error.HTTPError):
            raise TimeoutError(f"no answer within {limit_s:g} s") from error
        raise
    finally:
        timer.cancel()
