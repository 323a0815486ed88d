"""Output folders: finished videos stay finished, different runs never mix."""

from pathlib import Path
from typing import Any

import pytest

from inference.output.record import VideoResult, digest, open_output, read_result, write_result

SETTINGS: dict[str, Any] = {"checkpoint": "a.pth", "sizes": (480, 600), "inference": {"mem_every": 5}}


def finish(output: Path, name: str = "bear") -> VideoResult:
    (output / name).mkdir(exist_ok=True)
    (output / name / "00000.png").touch()
    result = VideoResult(name=name, objects=1, frames=2, seconds=0.5)
    write_result(output, result)
    return result


def test_same_settings_continue(tmp_path: Path) -> None:
    output = tmp_path / "new" / "output"
    open_output(output, SETTINGS, [output / "bear"], overwrite=False)
    assert read_result(output, "bear") is None
    result = finish(output)
    open_output(output, SETTINGS, [output / "bear"], overwrite=False)
    assert read_result(output, "bear") == result
    assert read_result(output, "camel") is None


def test_overwrite_forgets_but_keeps_the_files(tmp_path: Path) -> None:
    open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=False)
    finish(tmp_path)
    open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=True)
    assert read_result(tmp_path, "bear") is None
    assert (tmp_path / "bear" / "00000.png").is_file()


def test_other_settings_are_refused_until_overwritten(tmp_path: Path) -> None:
    open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=False)
    finish(tmp_path)
    other = {**SETTINGS, "checkpoint": "b.pth"}
    with pytest.raises(ValueError, match=r"other settings: checkpoint 'a.pth' \(now 'b.pth'\): choose another"):
        open_output(tmp_path, other, [tmp_path / "bear"], overwrite=False)
    assert read_result(tmp_path, "bear") is not None
    open_output(tmp_path, other, [tmp_path / "bear"], overwrite=True)
    open_output(tmp_path, other, [tmp_path / "bear"], overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_masks_of_unknown_origin_are_refused(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "bear").mkdir()
    (tmp_path / "bear" / "00000.png").touch()
    with pytest.raises(ValueError, match="bear is there already, and no record says that this program wrote"):
        open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=overwrite)
    open_output(tmp_path, SETTINGS, [tmp_path / "camel"], overwrite=False)


def test_an_output_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write .*file/output/.*: Not a directory"):
        open_output(tmp_path / "file" / "output", SETTINGS, [tmp_path / "file" / "output" / "bear"], overwrite=False)


def test_digest_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest(tmp_path / "abc") == "abc (ba7816bf8f01cfea)"  # FIPS 180-2, appendix B.1
    folder = tmp_path / "folder"
    folder.mkdir()
    seen = {digest(folder)}
    for name, content in (("a.png", b"x"), ("a.png", b"y"), ("b.png", b""), ("c.png", b"")):
        (folder / name).write_bytes(content)
        seen.add(digest(folder))
    assert len(seen) == 5
    with pytest.raises(FileNotFoundError, match="nothing: no such file"):
        digest(tmp_path / "nothing")


def test_damaged_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=False)
    finish(tmp_path)
    (tmp_path / ".corrvos" / "videos" / "bear.json").write_text('{"name": "bear", "obj')
    assert read_result(tmp_path, "bear") is None and "bear is segmented again" in caplog.text
    (tmp_path / ".corrvos" / "run.json").write_text("[1, 2")
    with pytest.raises(ValueError, match="run.json is damaged .* start over with --overwrite"):
        open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=False)
    open_output(tmp_path, SETTINGS, [tmp_path / "bear"], overwrite=True)
