"""meta.json: what it holds, and everything else that such a file may hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset.disk.meta import read_json, read_objects, required_frames


def write(path: Path, videos: Any) -> Path:
    path.write_text(json.dumps({"videos": videos}))
    return path


def test_objects_and_frames(tmp_path: Path) -> None:
    entry = {"objects": {"1": {"category": "ape", "frames": ["00000", "00005"]}, "02": {"frames": ["00005"]}}}
    meta = write(tmp_path / "meta.json", {"zoo": entry})
    assert read_objects(meta, "frames") == {"zoo": {"1": ["00000", "00005"], "2": ["00005"]}}
    assert required_frames(meta) == {"zoo": {"00000", "00005"}}
    with pytest.raises(ValueError, match=r'expected .*"category": .*, it has another layout .KeyError: .category'):
        read_objects(meta, "category")


def test_names_are_names_of_files(tmp_path: Path) -> None:
    meta = tmp_path / "meta.json"
    with pytest.raises(ValueError, match=r"meta.json, videos: '../x' is no plain name"):
        required_frames(write(meta, {"../x": {"objects": {"1": {"frames": ["00000"]}}}}))
    with pytest.raises(ValueError, match=r"meta.json, frames of x: '../../00000' is no plain name"):
        required_frames(write(meta, {"x": {"objects": {"1": {"frames": ["../../00000"]}}}}))
    with pytest.raises(ValueError, match="frames of x, object 1: expected a list, received '00000'"):
        required_frames(write(meta, {"x": {"objects": {"1": {"frames": "00000"}}}}))
    with pytest.raises(ValueError, match="another layout"):
        required_frames(write(meta, {"x": {"objects": {"../1": {"frames": []}}}}))


def test_files_that_are_no_json(tmp_path: Path) -> None:
    meta = tmp_path / "meta.json"
    with pytest.raises(FileNotFoundError, match="meta.json does not exist; expected a list"):
        read_json(meta, "a list")
    meta.write_bytes(b"\xef\xbb\xbf[1]\r\n")
    assert read_json(meta, "a list") == [1]
    for content in (b"", b"{", b"\xff\xfe{}"):
        meta.write_bytes(content)
        with pytest.raises(ValueError, match="meta.json is not a JSON file .*; expected a list"):
            read_json(meta, "a list")
