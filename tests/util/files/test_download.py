"""Downloads from a loopback server that breaks, ignores, lies and refuses."""

import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import progressbar
import pytest

from tests.support.loopback import Server, serving
from util.files.download import DownloadError, Options, download, file_sha256

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
QUICK = Options(tries=3, wait_s=0.01, timeout_s=5, progress=False)
PAGE = b"<!DOCTYPE html><html><body>Quota exceeded</body></html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(CONTENT) as running:
        yield running


def only_file(folder: Path) -> bytes:
    """The content of the one file that a download must leave."""
    assert [file.name for file in folder.iterdir()] == ["net.pth"]
    return (folder / "net.pth").read_bytes()


def fails(url: str, path: Path, **known: int | str) -> str:
    with pytest.raises(DownloadError) as caught:
        download(url, path, options=QUICK, **known)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and not path.exists()
    return str(caught.value)


def test_whole(server: Server, tmp_path: Path) -> None:
    checksum = hashlib.sha256(CONTENT).hexdigest()
    path = tmp_path / "deep" / "net.pth"
    assert download(server.url, path, size=len(CONTENT), sha256=checksum, options=QUICK) == path
    assert only_file(path.parent) == CONTENT
    assert file_sha256(path) == checksum
    download(server.url, path, size=len(CONTENT), sha256=checksum.upper(), options=QUICK)
    assert len(server.ranges) == 1  # it was there already


def test_broken_connections_are_continued(server: Server, tmp_path: Path) -> None:
    server.break_after = [300_000, 200_000, 0, 100_000]
    download(server.url, tmp_path / "net.pth", sha256=hashlib.sha256(CONTENT).hexdigest(), options=QUICK)
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-", "bytes=500000-", "bytes=600000-"]
    assert server.conditions == [None, '"v1"', '"v1"', '"v1"', '"v1"']
    assert only_file(tmp_path) == CONTENT


def test_a_later_call_continues(server: Server, tmp_path: Path) -> None:
    server.break_after = [300_000, 0, 0, 0]
    text = fails(server.url, tmp_path / "net.pth")
    assert "the connection broke after 300,000 of 1,024,000 bytes; 3 tries brought nothing more" in text
    assert text.endswith(f"the 300,000 bytes received are kept in {tmp_path / 'net.pth.part'}")
    server.break_after = []
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert server.ranges[-1] == "bytes=300000-"
    assert only_file(tmp_path) == CONTENT


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.honours_range = False
    server.break_after = [300_000]
    with caplog.at_level(logging.INFO):
        download(server.url, tmp_path / "net.pth", options=QUICK)
    assert only_file(tmp_path) == CONTENT
    assert "net.pth: the server does not continue, or has another file now: starting over" in caplog.messages


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("etag", ['"v2"', None])
def test_a_file_that_changed_is_not_joined_to_the_old_one(
    server: Server, tmp_path: Path, etag: str | None, honest: bool
) -> None:
    server.honours_condition = honest
    if etag is None:
        server.etag, server.modified = None, "Mon, 01 Jan 2024 00:00:00 GMT"
    server.break_after = [300_000, 0, 0, 0]
    fails(server.url, tmp_path / "net.pth")
    server.content, server.break_after = CONTENT[::-1], []
    server.etag, server.modified = etag, "Tue, 02 Jan 2024 00:00:00 GMT"
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert only_file(tmp_path) == CONTENT[::-1]


def test_another_range_than_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    server.break_after, server.shift = [300_000], 7
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert server.ranges == [None, "bytes=300000-", None]
    assert only_file(tmp_path) == CONTENT


def test_a_file_that_became_shorter(server: Server, tmp_path: Path) -> None:
    server.etag, server.break_after = None, [300_000, 0, 0, 0]
    fails(server.url, tmp_path / "net.pth")
    server.content, server.break_after = CONTENT[:1000], []
    download(server.url, tmp_path / "net.pth", options=QUICK)  # 416, then the file
    assert only_file(tmp_path) == CONTENT[:1000]


def test_a_complete_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    state = {"url": server.url, "validator": '"v1"', "total": len(CONTENT)}
    (tmp_path / "net.pth.part.json").write_text(json.dumps(state))
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert server.ranges == [] and only_file(tmp_path) == CONTENT


@pytest.mark.parametrize("state", [None, "{", '{"url": "http://elsewhere/net.pth"}'])
def test_a_part_of_unknown_origin_is_not_continued(server: Server, tmp_path: Path, state: str | None) -> None:
    (tmp_path / "net.pth.part").write_bytes(b"something else")
    if state is not None:
        (tmp_path / "net.pth.part.json").write_text(state)
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert server.ranges == [None] and only_file(tmp_path) == CONTENT


def test_a_web_page_is_recognised_and_does_not_cost_the_part(server: Server, tmp_path: Path) -> None:
    server.content = PAGE
    text = fails(server.url, tmp_path / "net.pth")
    assert text.startswith(f"{server.url} answers with a web page (a quota or log-in page) instead of the file: open")
    assert text.endswith(f"save the file as {tmp_path / 'net.pth'}") and not list(tmp_path.iterdir())

    server.content, server.break_after = CONTENT, [300_000, 0, 0, 0]
    fails(server.url, tmp_path / "net.pth")
    server.content, server.etag, server.break_after = PAGE, None, []
    assert "web page" in fails(server.url, tmp_path / "net.pth")
    assert (tmp_path / "net.pth.part").read_bytes() == CONTENT[:300_000]


def test_wrong_checksum_and_size(server: Server, tmp_path: Path) -> None:
    text = fails(server.url, tmp_path / "net.pth", sha256="ab" * 32)
    found = hashlib.sha256(CONTENT).hexdigest()
    assert f"is not the file wanted: its SHA-256 is {found} instead of {'ab' * 32}. It was removed" in text
    text = fails(server.url, tmp_path / "net.pth", size=5)
    assert "is not the file wanted: it has 1,024,000 bytes instead of 5." in text
    assert not list(tmp_path.iterdir())


def test_a_wrong_file_in_its_place_is_replaced(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"old")
    download(server.url, path, size=len(CONTENT), options=QUICK)
    assert only_file(tmp_path) == CONTENT
    assert f"{path} is not the file wanted (it has 3 bytes instead of 1,024,000): downloading it again" in caplog.text


def test_statuses(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    text = fails(server.url, tmp_path / "net.pth")
    assert text.startswith(f"{server.url}: the file is not there (any more): 404 Not Found. Look for it")
    server.statuses = [403]
    assert "the server refuses it: 403 Forbidden" in fails(server.url, tmp_path / "net.pth")
    server.statuses = [503, 429]
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert only_file(tmp_path) == CONTENT and len(server.ranges) == 5


def test_no_connection(server: Server, tmp_path: Path) -> None:
    url = server.url
    server.server_close()
    assert "could not be downloaded: no connection (" in fails(url, tmp_path / "net.pth")


def test_no_room(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    text = fails(server.url, tmp_path / "net.pth")
    assert text == (
        f"{tmp_path} has 1,000 bytes free, net.pth needs 1,024,000 more: free some space or choose another place"
    )


def test_not_a_byte_more_than_the_known_size_is_written(server: Server, tmp_path: Path) -> None:
    server.tells_length = False
    text = fails(server.url, tmp_path / "net.pth", size=300_000)
    assert text == (
        f"{server.url} is not the file wanted: it goes on after its 300,000 bytes. It was removed; look for it on the "
        "project's page"
    )
    assert not list(tmp_path.iterdir())
    server.content = CONTENT[:300_000]
    download(server.url, tmp_path / "net.pth", size=300_000, options=QUICK)
    assert only_file(tmp_path) == CONTENT[:300_000]


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/net.pth", "data:,hello", "net.pth"])
def test_other_schemes_than_http_are_not_followed(server: Server, tmp_path: Path, address: str) -> None:
    scheme = address.partition(":")[0] if ":" in address else "none"
    text = f"is not fetched: expected an http or https address, received {scheme}. Look for the file on the project's"
    assert text in fails(address, tmp_path / "net.pth")
    if scheme == "none":
        return
    server.redirect = address
    message = fails(server.url, tmp_path / "net.pth")
    assert text in message or f"Redirection to url '{address}' is not allowed" in message
    assert len(server.ranges) == 1 and not list(tmp_path.iterdir())


def test_redirects_to_http_are_followed(server: Server, tmp_path: Path) -> None:
    with serving(b"other") as other:
        server.redirect = other.url
        download(server.url, tmp_path / "net.pth", options=QUICK)
    assert only_file(tmp_path) == b"other"


def test_a_trickle_ends(server: Server, tmp_path: Path) -> None:
    server.trickle_s = 0.01
    impatient = Options(tries=2, wait_s=0.01, timeout_s=5, patience_s=0.3, progress=False)
    began = time.monotonic()
    with pytest.raises(
        DownloadError, match=r"the server sends no more than \d+ bytes a second; 2 tries brought"
    ) as error:
        download(server.url, tmp_path / "net.pth", options=impatient)
    assert time.monotonic() - began < 4
    received = (tmp_path / "net.pth.part").read_bytes()
    assert f"the {len(received)} bytes received are kept" in str(error.value) and CONTENT.startswith(received)
    server.trickle_s = 0
    download(server.url, tmp_path / "net.pth", options=QUICK)
    assert only_file(tmp_path) == CONTENT


def test_a_head_that_trickles_ends(server: Server, tmp_path: Path) -> None:
    server.trickles_head, server.trickle_s = True, 0.01
    impatient = Options(tries=2, wait_s=0.01, timeout_s=5, patience_s=0.3, progress=False)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r"no connection \(no answer within 0.3 s\); 2 tries brought nothing more"):
        download(server.url, tmp_path / "net.pth", options=impatient)
    assert time.monotonic() - began < 4


def test_the_bar_shows_what_has_come(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(progressbar.streams, "original_stderr", shown)
    download(server.url, tmp_path / "net.pth", options=Options())
    assert "100% of 1000.0 KiB" in shown.getvalue()
