"""Data sets are fetched from a loopback server, unpacked, and listed with steps for the others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataset.disk.recognise import find_layout
from scripts import download_datasets
from scripts.dataset_sources import SOURCES
from scripts.download_datasets import DownloadConfig, find_source, listing, main
from tests.support.archives import files, zipped
from tests.support.loopback import Server, serving
from util.files.download import DownloadError

DAVIS = {
    f"DAVIS/{name}": b"x" * 2000
    for name in (
        "README.md",
        "JPEGImages/480p/bear/00000.jpg",
        "Annotations/480p/bear/00000.png",
        "ImageSets/2017/train.txt",
        ".DS_Store",
    )
}
DUTS = {
    "DUTS-TR/DUTS-TR-Image/a.jpg": b"picture",
    "DUTS-TR/DUTS-TR-Mask/a.png": b"mask",
    "DUTS-TR/about.txt": b"text",
    "__MACOSX/DUTS-TR/DUTS-TR-Image/a.jpg": b"junk",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with DAVIS-2017; the table's direct links lead to it."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(zipped(DAVIS)) as running:
        table = {
            name: replace(source, url=source.url and running.url.replace("net.pth", f"{name}.zip"))
            for name, source in SOURCES.items()
        }
        monkeypatch.setattr(download_datasets, "SOURCES", table)
        yield running


def test_a_broken_download_is_continued_and_unpacked(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.break_after = [3000]
    config = DownloadConfig(names=("DAVIS2017", "davis2017"), root=tmp_path)
    main(config)
    place = tmp_path / "DAVIS" / "2017" / "trainval"
    assert server.ranges == [None, "bytes=3000-"]
    assert files(tmp_path) == [f"DAVIS/2017/trainval/{name[6:]}" for name in sorted(DAVIS) if "DS_Store" not in name]
    assert find_layout(tmp_path / "DAVIS").name == "DAVIS 2017"
    assert capsys.readouterr().out == (
        f"davis2017: 4 files in {place} (to check them: python scripts/check_dataset.py {place})\n"
    )
    main(config)
    assert len(server.ranges) == 2
    assert capsys.readouterr().out == f"davis2017: {place} is there already (remove it to get it anew)\n"


def test_static_pictures_and_masks_come_side_by_side(server: Server, tmp_path: Path) -> None:
    server.content = zipped(DUTS)
    main(DownloadConfig(names=("duts-tr",), root=tmp_path, keep_archives=True))
    assert files(tmp_path) == ["downloads/duts-tr.zip", "static/DUTS-TR/a.jpg", "static/DUTS-TR/a.png"]
    assert (tmp_path / "static" / "DUTS-TR" / "a.jpg").read_bytes() == b"picture"


def test_a_web_page_and_another_archive_are_refused(server: Server, tmp_path: Path) -> None:
    config = DownloadConfig(names=("davis2017",), root=tmp_path)
    server.content = b"<!DOCTYPE html><html>log in</html>"
    with pytest.raises(DownloadError, match="answers with a web page"):
        main(config)
    server.content = zipped({"DAVIS/JPEGImages/1080p/bear/00000.jpg": b""})
    expected = "lacks a folder with JPEGImages/480p and Annotations/480p and ImageSets; it holds DAVIS. The archive has"
    with pytest.raises(ValueError, match=f"{tmp_path}/downloads/davis2017.zip {expected}"):
        main(config)
    assert not (tmp_path / "DAVIS").exists()


def test_those_behind_a_form_come_with_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(DownloadConfig(names=("mose", "fss"), root=tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert stop.value.code == 1 and lines[-1] == "to be got by hand: mose, fss"
    assert (
        f"  2. unpack them (tar xf) to {tmp_path}/MOSE/train and {tmp_path}/MOSE/valid: JPEGImages, Annotations"
        in lines
    )
    assert f"  3. check it: python scripts/check_dataset.py {tmp_path}/MOSE" in lines
    (tmp_path / "MOSE" / "train").mkdir(parents=True)
    main(DownloadConfig(names=("mose",), root=tmp_path))
    assert "is there already" in capsys.readouterr().out


def test_the_list_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(DownloadConfig(root=tmp_path))
    shown = capsys.readouterr().out
    assert shown == f"{listing(tmp_path)}\n"
    for name, source in SOURCES.items():
        assert f"{name}: {source.title}\n  page     {source.page}\n  licence  {source.licence}\n" in shown
        assert f"  layout   {tmp_path}/{source.place}: {source.layout}\n" in shown
        assert (source.url is None) == bool(source.steps)
        assert source.url is None or source.url in shown
        assert source.flat or source.required or source.url is None
    assert "{place}" not in shown
    places = [source.place for source in SOURCES.values()]
    assert len(set(places)) == len(places)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown data set 'davis17', the nearest is davis2017. Known: davis2016, "):
        find_source("davis17")
