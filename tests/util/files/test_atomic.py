import errno
import os
from pathlib import Path

import pytest

from util.files.atomic import atomic_write, set_aside
from util.files.checkpoint import save_checkpoint


def test_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "report.json"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".json"
        temporary.write_text("done")
        assert not target.exists()
    assert target.read_text() == "done"
    assert [entry.name for entry in target.parent.iterdir()] == ["report.json"]


def test_error_leaves_the_older_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "weights.pth"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise KeyError("stop")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_is_moved_whole_and_removed_after_an_error(tmp_path: Path) -> None:
    target = tmp_path / "masks"
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.mkdir()
        (temporary / "a.png").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_write(target, sync=True) as temporary:
        temporary.mkdir()
        (temporary / "a.png").write_text("a")
    assert (target / "a.png").read_text() == "a"


def test_sync_keeps_the_content(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a", sync=True) as temporary:
        temporary.write_bytes(b"abc")
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_place_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "report.json"
    with pytest.raises(OSError) as caught, atomic_write(target):
        pass
    assert caught.value.strerror is not None
    assert caught.value.strerror.startswith(f"cannot write {target}: ")
    assert caught.value.strerror.endswith("A part of the path is a file, not a folder: choose another place.")


def test_full_disk_is_named_with_a_remedy(tmp_path: Path) -> None:
    target = tmp_path / "weights.pth"
    with pytest.raises(OSError) as caught, atomic_write(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    expected = f"cannot write {target}: No space left on device. Free some space or choose another place."
    assert caught.value.strerror == expected
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_errors_about_other_files_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "a"):
        (tmp_path / "missing" / "input").read_text()
    assert caught.value.filename == str(tmp_path / "missing" / "input")
    with pytest.raises(FileNotFoundError, match="^mask m.png does not exist$"), atomic_write(tmp_path / "a"):
        raise FileNotFoundError("mask m.png does not exist")


def test_set_aside_removes_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("")
    (tmp_path / "file").write_text("")
    for name in ("folder", "file", "nothing"):
        set_aside(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sync", [False, True])
def test_what_has_to_last_is_on_the_disk_before_it_gets_its_name(
    sync: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(file: int) -> None:
        assert os.readlink(f"/proc/self/fd/{file}").endswith(".tmp.pth") if os.path.exists("/proc/self/fd") else True
        done.append("flushed")
        fsync(file)

    def rename(old: Path, new: Path) -> None:
        done.append("renamed")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    with atomic_write(tmp_path / "a.pth", sync=sync) as temporary:
        temporary.write_text("weights")
    assert done == (["flushed", "renamed"] if sync else ["renamed"])
    done.clear()
    save_checkpoint(tmp_path / "b.pth", {"step": 1})
    assert done == ["flushed", "renamed"]
