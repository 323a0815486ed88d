"""Requests to a loopback server: schemes, redirects, time limit."""

import time
import urllib.error
from collections.abc import Iterator

import pytest

from tests.support.loopback import Server, serving
from util.files.web_request import SchemeError, open_url


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(b"content") as running:
        yield running


def test_the_body_comes_and_headers_go(server: Server) -> None:
    with open_url(server.url, {"Range": "bytes=3-"}, 5, 5) as answer:
        assert answer.status == 206 and answer.read() == b"tent"
    server.statuses = [404]
    with pytest.raises(urllib.error.HTTPError, match="404") as error:
        open_url(server.url, {}, 5, 5)
    error.value.close()


def test_neither_addresses_nor_redirects_leave_http(server: Server) -> None:
    for url in ("file:///etc/hostname", "ftp://127.0.0.1/a", "FILE:///a", "//127.0.0.1/a"):
        with pytest.raises(SchemeError, match="is not fetched: expected an http or https address"):
            open_url(url, {}, 5, 5)
    server.redirect = "ftp://127.0.0.1/a"
    with pytest.raises(SchemeError, match="received ftp"):
        open_url(server.url, {}, 5, 5)
    assert len(server.ranges) == 1


def test_an_answer_has_to_begin_in_time(server: Server) -> None:
    server.trickles_head, server.trickle_s = True, 0.01
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0.2 s"):
        open_url(server.url, {}, 5, 0.2)
    assert time.monotonic() - began < 3
