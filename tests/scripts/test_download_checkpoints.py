"""The table of released checkpoints and the program that fetches them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest

from model.build import build_model
from scripts import download_checkpoints
from scripts.download_checkpoints import RELEASES, DownloadConfig, Release, find_release, listing, main
from tests.support.loopback import Server, serving
from util.files.checkpoint import save_checkpoint


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with a tiny XMem, which is the only release."""
    monkeypatch.setenv("no_proxy", "*")
    save_checkpoint(tmp_path / "source.pth", build_model("xmem", "tiny").state_dict())
    with serving((tmp_path / "source.pth").read_bytes()) as running:
        release = Release(what="a tiny XMem", page="http://127.0.0.1/", url=running.url)
        monkeypatch.setattr(download_checkpoints, "RELEASES", {"Tiny.pth": release})
        yield running


def test_a_broken_download_ends_well(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.break_after = [1_000_000]
    main(DownloadConfig(names=("tiny",), output=tmp_path / "checkpoints"))
    path = tmp_path / "checkpoints" / "Tiny.pth"
    assert server.ranges == [None, "bytes=1000000-"]
    assert path.read_bytes() == server.content
    size, checksum = f"{len(server.content):,}", hashlib.sha256(server.content).hexdigest()
    assert capsys.readouterr().out == f"{path}: xmem (tiny), {size} bytes, SHA-256 {checksum}\n"


def test_what_came_must_be_a_checkpoint(server: Server, tmp_path: Path) -> None:
    server.content = b"no checkpoint"
    with pytest.raises(ValueError, match="Tiny.pth is not a PyTorch checkpoint: it starts with b'no check'"):
        main(DownloadConfig(names=("Tiny.pth",), output=tmp_path))


def test_names() -> None:
    assert find_release("XMem") == find_release("xmem.pth") == "XMem.pth"
    with pytest.raises(ValueError, match="unknown file 'XMen', the nearest is XMem.pth. Known: XMem.pth, "):
        find_release("XMen")


def test_a_file_without_a_link_gets_steps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stcn-corr has no direct link: open the page, .* Page: https://"):
        main(DownloadConfig(names=("stcn-corr",), output=tmp_path))


def test_the_table_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for config in (DownloadConfig(list=True), DownloadConfig()):
        main(config)
        assert capsys.readouterr().out == f"{listing()}\n"
    for name, release in RELEASES.items():
        assert f"{name} " in listing()
        assert urlparse(release.page).scheme == "https"
        if release.url is None:
            assert release.steps in listing()
        else:
            assert release.url in listing() and release.url.endswith(f"/{name}")
