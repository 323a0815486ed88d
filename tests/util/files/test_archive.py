"""Archives are unpacked whole or not at all, and nothing lands outside the folder."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from tests.support.archives import files, zipped
from util.files.archive import unpack

DAVIS = {f"DAVIS/{name}": b"x" * 2000 for name in ("README.md", "a/0.jpg", "a/1.jpg", "b/0.png", ".DS_Store")}


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "C:/evil.jpg", "..\\evil.jpg"])
def test_paths_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "in" / "a.zip"
    archive.parent.mkdir()
    archive.write_bytes(zipped({"good.jpg": b"", name: b"evil"}))
    with pytest.raises(ValueError, match="holds a path that leads out of its folder: '.*evil.jpg'. Do not trust it."):
        unpack(archive, tmp_path / "in" / "out", flat=True)
    assert files(tmp_path) == ["in/a.zip"] and not (tmp_path / "in" / "out").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("folder")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/tmp")
    with pytest.raises(ValueError, match="a.zip holds a link or device: 'folder'. Do not trust it."):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_damaged_archives_leave_no_folder(tmp_path: Path) -> None:
    archive, target = tmp_path / "a.zip", tmp_path / "out"
    whole = zipped(DAVIS)
    middle = whole.index(b"x" * 2000) + 1000
    for content, reason in (
        (whole[:middle] + b"y" + whole[middle + 1 :], "Bad CRC-32"),
        (whole[:-30], "not a zip file"),
        (b"", "not a zip file"),
    ):
        archive.write_bytes(content)
        with pytest.raises(ValueError, match=f"a.zip is damaged .*{reason}.*. Remove it and download it again."):
            unpack(archive, target)
        assert files(tmp_path) == ["a.zip"]
    archive.write_bytes(b"<html>quota</html>")
    with pytest.raises(ValueError, match="a.zip is a web page, not a zip archive"):
        unpack(archive, target)


def test_what_cannot_be_unpacked(tmp_path: Path) -> None:
    archive, target = tmp_path / "a.zip", tmp_path / "out"
    for content, flat, reason in (
        ({"a/x.jpg": b"1", "b/x.jpg": b"2"}, True, "holds x.jpg twice. Unpack it by hand."),
        ({"a/x.txt": b"1"}, True, "holds none of the files wanted"),
    ):
        archive.write_bytes(zipped(content))
        with pytest.raises(ValueError, match=reason):
            unpack(archive, target, flat=flat)
    encrypted = bytearray(zipped({"x.jpg": b"1"}))
    central = encrypted.index(b"PK\x01\x02")
    struct.pack_into("<H", encrypted, central + 8, 1)  # the flag of encrypted files
    archive.write_bytes(bytes(encrypted))
    with pytest.raises(ValueError, match="a.zip is encrypted. Unpack it by hand."):
        unpack(archive, target)
    assert not target.exists()


def test_too_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(DAVIS))
    usage = type("Usage", (), {"free": 5000})
    monkeypatch.setattr("util.files.archive.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="has 5,000 bytes free, out needs 8,000: free some space or choose another place"):
        unpack(tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert files(tmp_path) == ["a.zip"]


def test_what_lies_beside_the_required_folders_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"about.txt": b"0", "x/y/a/0.jpg": b"12", "x/y/b/0.png": b"3"}))
    assert unpack(tmp_path / "a.zip", tmp_path / "out", required=("a", "b")) == 2
    assert (
        files(tmp_path / "out") == ["a/0.jpg", "b/0.png"] and (tmp_path / "out" / "a" / "0.jpg").read_bytes() == b"12"
    )
