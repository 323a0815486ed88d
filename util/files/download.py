"""Downloads over HTTP that survive broken connections: resumed, checked, and complete or not there at all."""

import hashlib
import http.client
import logging
import os
import re
import shutil
import ssl
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path

import progressbar

from util.files.partial import Partial, discard, part_of, read_state, received, write_state
from util.files.web_page import looks_like_html
from util.files.web_request import SchemeError, open_url

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT_S = 60.0
# A try that brings less has brought nothing: a server that breaks after every few bytes would have us try for ever.
_FRUITFUL_BYTES = 1 << 16
_NETWORK_ERRORS = (OSError, http.client.HTTPException)


class DownloadError(OSError):
    """A file could not be had; the message says why and what to do."""


class _BrokenError(Exception):
    """The connection failed in a way that another try may mend."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to download.

    Attributes:
        tries: how often to try without receiving anything worth mentioning (64 KiB) before giving up.
        wait_s: seconds before the second try; doubled for each further one, at most a minute.
        timeout_s: seconds without a sign of the server until a try counts as failed.
        patience_s: seconds until the head of an answer must be there, and over which its speed is taken.
        slowest: bytes a second below which a try counts as failed.
        progress: whether to draw a progress bar.
    """

    tries: int = 5
    wait_s: float = 1.0
    timeout_s: float = 30.0
    patience_s: float = 60.0
    slowest: float = 1000.0
    progress: bool = True


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    options: Options | None = None,
) -> Path:
    """Download `url` to `path`, continuing where an earlier call or a broken connection stopped.

    What has come so far is in `NAME.part` beside `path`, which gets its name when it is complete and right.

    Args:
        url: http or https address of the file.
        path: where it goes. A file that is there already is kept if it has the right size and checksum.
        size: its bytes, where known.
        sha256: its checksum, where known (hexadecimal).
        options: tries, waits and progress bar.

    Raises:
        DownloadError: not http or https, not found, refused, a web page instead of the file, wrong size or checksum,
            more bytes than announced, no connection, or one that is too slow.
    """
    options, path = options or Options(), Path(path)
    if path.is_file():
        fault = _fault(path, size, sha256)
        if fault is None:
            logger.info("%s is there already", path)
            return path
        logger.warning("%s is not the file wanted (%s): downloading it again", path, fault)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    _receive_all(url, part, size, options)
    fault = _fault(part, size, sha256)
    if fault is not None:
        discard(part)
        raise DownloadError(f"{url} is not the file wanted: {fault}. It was removed; try again, or get it elsewhere")
    os.replace(part, path)
    discard(part)
    return path


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return a file's SHA-256 checksum in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _fault(path: Path, size: int | None, sha256: str | None) -> str | None:
    """Say how a file differs from what is known of it, or None."""
    if size is not None and path.stat().st_size != size:
        return f"it has {path.stat().st_size:,} bytes instead of {size:,}"
    if sha256 is not None and (found := file_sha256(path)) != sha256.lower():
        return f"its SHA-256 is {found} instead of {sha256.lower()}"
    return None


def _receive_all(url: str, part: Path, size: int | None, options: Options) -> None:
    """Receive until `part` is complete, trying again as long as something comes."""
    failures = 0
    while True:
        before = received(part)
        try:
            _receive(url, part, size, options)
            return
        except _BrokenError as error:
            failures = 1 if received(part) - before >= min(_FRUITFUL_BYTES, size or _FRUITFUL_BYTES) else failures + 1
            if failures >= options.tries:
                raise DownloadError(
                    f"{url} could not be downloaded: {error}; {failures} tries brought nothing more. Check the "
                    f"connection and run it again: the {received(part):,} bytes received are kept in {part}"
                ) from error
            wait = min(options.wait_s * 2 ** (failures - 1), _LONGEST_WAIT_S)
            logger.warning("%s: %s; trying again in %.1f s", part.stem, error, wait)
            time.sleep(wait)


def _receive(url: str, part: Path, size: int | None, options: Options) -> None:
    """Receive in one request what is missing of `part`; raises _BrokenError if it is still incomplete then."""
    known = read_state(part, url)
    if known is None:
        discard(part)
        known = Partial(url=url)
    offset = received(part)
    if offset and offset == known.total:
        return
    with _open(url, part, offset, known, options) as response:
        if response.status == 206:
            if not _continues(response, offset, known):
                discard(part)
                raise _BrokenError(f"the server did not answer with bytes {offset} and on of the same file")
        else:
            if offset:
                logger.info("%s: the server does not continue, or has another file now: starting over", part.stem)
            known, offset = _describe(url, response), 0
        _check_size(known, offset, size, part)
        _copy(response, part, offset, known, options, most=size if known.total is None else known.total)


def _open(url: str, part: Path, offset: int, known: Partial, options: Options) -> http.client.HTTPResponse:
    """Ask for the file from byte `offset` on, if it is still the same one."""
    headers = {"User-Agent": "CorrVOS", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if known.validator is not None:
            headers["If-Range"] = known.validator
    try:
        return open_url(url, headers, options.timeout_s, options.patience_s)
    except SchemeError as error:
        raise DownloadError(f"{error}. Look for the file on the project's page") from error
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the file became shorter than what is here
            discard(part)
            raise _BrokenError(f"bytes {offset} and on are not there: starting over") from error
        if error.code in _RETRIED_STATUS:
            raise _BrokenError(f"the server answered {error.code} {error.reason}") from error
        hint = "the file is not there (any more)" if error.code in (404, 410) else "the server refuses it"
        raise DownloadError(f"{url}: {hint}: {error.code} {error.reason}. Look for it on the project's page") from error
    except _NETWORK_ERRORS as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadError(f"{url}: the server's certificate is not trusted: {reason}") from error
        raise _BrokenError(f"no connection ({str(reason) or type(reason).__name__})") from error


def _continues(response: http.client.HTTPResponse, offset: int, known: Partial) -> bool:
    """Whether a partial answer is what follows `offset` in the file that was begun."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != offset:
        return False
    same_length = match[2] == "*" or known.total is None or int(match[2]) == known.total
    return same_length and _validator(response) in (None, known.validator)


def _describe(url: str, response: http.client.HTTPResponse) -> Partial:
    length = response.headers.get("Content-Length", "")
    return Partial(url=url, validator=_validator(response), total=int(length) if length.isdigit() else None)


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What identifies this version of the file: its ETag (a weak one does not vouch for the bytes) or its date."""
    etag: str | None = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _check_size(state: Partial, offset: int, size: int | None, part: Path) -> None:
    if state.total is None:
        return
    if size is not None and state.total != size:
        raise DownloadError(
            f"{state.url} is not the file wanted: it has {state.total:,} bytes instead of {size:,}. Look for it on the "
            "project's page"
        )
    free = shutil.disk_usage(part.parent).free
    if state.total - offset > free:
        raise DownloadError(
            f"{part.parent} has {free:,} bytes free, {part.stem} needs {state.total - offset:,} more: free some space "
            "or choose another place"
        )


def _copy(
    response: http.client.HTTPResponse, part: Path, offset: int, state: Partial, options: Options, most: int | None
) -> None:
    """Append the answer to `part`, which holds `offset` bytes of the file, or write it anew if that is 0.

    The file has `most` bytes; not one more is written.
    """
    pace = _Pace(options)
    chunk = _next_chunk(response)
    if offset == 0 and looks_like_html(chunk):
        raise DownloadError(
            f"{state.url} answers with a web page (a quota or log-in page) instead of the file: open it in a browser, "
            f"save the file as {part.with_suffix('')}"
        )
    try:
        with part.open("ab" if offset else "wb") as file, _progress_bar(state, options) as bar:
            if offset == 0:
                write_state(part, state)  # not before the part is emptied: the two must never contradict each other
            while chunk and (most is None or offset + len(chunk) <= most):
                file.write(chunk)
                offset += len(chunk)
                bar.update(offset)
                pace.add(len(chunk))
                chunk = _next_chunk(response)
    except OSError as error:
        raise DownloadError(
            f"cannot write {part}: {error.strerror}. Free some space or choose another place; what has come is kept"
        ) from error
    if chunk:
        discard(part)
        raise DownloadError(
            f"{state.url} is not the file wanted: it goes on after its {most:,} bytes. It was removed; look for it on "
            "the project's page"
        )
    if state.total is not None and offset < state.total:
        raise _BrokenError(f"the connection broke after {offset:,} of {state.total:,} bytes")


class _Pace:
    """Watches that an answer does not trickle: each byte of it would start a socket's time-out anew."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._bytes, self._since = 0, time.monotonic()

    def add(self, count: int) -> None:
        """Count bytes that came; raises _BrokenError if there were too few in the last `patience_s` seconds."""
        self._bytes += count
        seconds = time.monotonic() - self._since
        if seconds < self._options.patience_s:
            return
        if self._bytes < self._options.slowest * seconds:
            raise _BrokenError(f"the server sends no more than {self._bytes / seconds:,.0f} bytes a second")
        self._bytes, self._since = 0, time.monotonic()


def _next_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK_BYTES)
    except _NETWORK_ERRORS as error:
        raise _BrokenError(f"the connection broke ({str(error) or type(error).__name__})") from error


def _progress_bar(state: Partial, options: Options) -> progressbar.ProgressBar:
    if not options.progress:
        return progressbar.NullBar()
    total = progressbar.UnknownLength if state.total is None else state.total
    return progressbar.DataTransferBar(max_value=total)
