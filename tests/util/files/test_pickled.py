"""Pickles with code in them, damaged archives: told without running anything."""

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from util.files.checkpoint import read_checkpoint
from util.files.pickled import damaged_record, foreign_object, is_code


class Acts:
    """What unpickling calls."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def complaint(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"), [(os.mkdir, r"(posix|nt)\.mkdir"), (eval, r"(builtins|__builtin__)\.eval")]
)
def test_pickles_with_code(tmp_path: Path, protocol: int, function: Callable[..., object], name: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"w": 1, "x": Acts(function, str(tmp_path / "made"))}, protocol=protocol))
    assert re.search(rf"is a pickle with code in it \({name}\), which would run if", complaint(path))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}])
def test_checkpoints_with_code(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(2), "x": Acts(os.mkdir, str(tmp_path / "made"))}, path, **options)
    assert "is a pickle with code in it (posix.mkdir)" in complaint(path)
    assert not (tmp_path / "made").exists()


def test_classes_are_no_code() -> None:
    assert is_code("posix.system") and is_code("subprocess.Popen") and not is_code("argparse.Namespace")
    assert not is_code("oslo.config") and not is_code("torch.nn.modules.linear.Linear")


def test_plain_tensors_are_not_foreign(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.bfloat16), "c": torch.nn.Parameter(torch.ones(1))}
    content = {**tensors, "size": torch.Size([1]), "device": torch.device("cpu"), "kind": torch.float16}
    for new in (True, False):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
        assert foreign_object(tmp_path / "a.pth") is None
    (tmp_path / "b.pth").write_bytes(b"\x80\x04no pickle")
    assert foreign_object(tmp_path / "b.pth") is None


def test_every_flipped_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.pth", torch.arange(64.0)
    torch.save({"w": weights, "v": torch.ones(3)}, path)
    assert damaged_record(path) is None
    content = path.read_bytes()
    start = content.index(weights.numpy().tobytes())
    for at in (start, start + 129, start + 255):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        line = complaint(path)
        assert f"checkpoint {path} is damaged: its record a/data/0 does not match its checksum" in line


def test_a_flipped_byte_in_the_pickle(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"weight": torch.ones(3)}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"weight", b"weighs", 1))
    assert "its record a/data.pkl does not match its checksum" in complaint(path)


@pytest.mark.skipif(
    not hasattr(torch.serialization, "set_crc32_options"), reason="older versions of PyTorch always write checksums"
)
def test_archives_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3)}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        assert all(record.CRC for record in archive.infolist())
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.ones(3)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert damaged_record(path) is None and list(read_checkpoint(path)) == ["w"]


def test_records_that_claim_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    assert "its records claim 10,000,000: it is no checkpoint, or damaged" in complaint(path)
