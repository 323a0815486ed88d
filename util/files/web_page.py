"""Web pages that pretend to be files: file hosts answer with one when a quota is used up or a log-in is needed."""


def looks_like_html(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a web page."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<") and b"<html" in start)
