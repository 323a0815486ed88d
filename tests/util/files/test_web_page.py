"""Web pages are told from files by their first bytes."""

import pytest

from util.files.web_page import looks_like_html


@pytest.mark.parametrize(
    "head",
    [
        b"<!DOCTYPE html><html><head>",
        b"<!doctype HTML>",
        b"\xef\xbb\xbf\r\n\t <HTML lang=en>",
        b"<!-- a remark -->\n<html>",
    ],
)
def test_web_pages(head: bytes) -> None:
    assert looks_like_html(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"PK\x03\x04<html>",
        b"\x80\x02}",
        b"a text about <html>",
        b'<?xml version="1.0"?><svg>',
        b" \xef\xbb\xbf<html>",
    ],
)
def test_other_files(head: bytes) -> None:
    assert not looks_like_html(head)
