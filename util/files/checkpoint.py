"""Checkpoint files: plain tensors, numbers, strings and containers of them, which load without running code.

How such files are read and written safely. What our own contain: `model.training.state`; whose weights they are:
`model.weights`.
"""

import errno
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from util.files.atomic import atomic_write
from util.files.hub import local_checkpoint
from util.files.pickled import damaged_record, foreign_object, is_code
from util.files.safetensors_file import is_safetensors, read_safetensors
from util.files.web_page import looks_like_html

AnyPath = str | os.PathLike[str]

_HEAD_BYTES = 2048
_ZIP, _OLD_FORMAT = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
# What people save under a checkpoint's name by mistake.
_OTHER_FILES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"\x93NUMPY": "a NumPy array",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself with `git lfs pull`",
    b"<?xml": "an XML page, such as a file host's error answer: download it again",
}
_PLAIN = (bool, int, float, str, type(None))
_SCRIPT = (
    "is a TorchScript archive, a program with its weights. Expected weights only: where you trust it, save those with "
    "torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)"
)


def read_checkpoint(path: AnyPath) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code that it may contain.

    Also a safetensors file, and one on the Hugging Face hub (`util.files.hub.local_checkpoint`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: what is there is no checkpoint, in one line: a folder, empty, an HTML page, truncated, damaged,
            something else, or one with Python objects in it (a whole pickled module).
    """
    path = local_checkpoint(path)
    head = _read_head(path)
    if is_safetensors(path, head):
        return read_safetensors(path)
    _require_whole(path, head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickle protocols and TorchScript: `_explain` says it in one line
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch.load raise nearly anything, OSError(EINVAL) included
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno != errno.EINVAL):
            raise
        raise ValueError(f"checkpoint {path} {_explain(path, head, error)}") from error
    if isinstance(payload, torch.jit.ScriptModule):  # older versions of PyTorch load it all the same
        raise ValueError(f"checkpoint {path} {_SCRIPT}")
    if not isinstance(payload, dict):
        raise ValueError(
            f"checkpoint {path} holds a {type(payload).__name__}. Expected a dictionary: a state dict of weights, or "
            "one that contains it"
        )
    return payload


def save_checkpoint(path: AnyPath, payload: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all; an older file at `path` stays as it was until the new one is complete.

    Args:
        path: the file to write.
        payload: tensors (moved to the CPU), numbers, strings, None, and lists, tuples and dictionaries of them.

    Raises:
        ValueError: something else is in `payload`; the message says where.
        OSError: the file cannot be written (disk full, no permission).
    """
    plain = _plain(payload, "payload")
    with atomic_write(path, sync=True) as temporary, temporary.open("wb") as file:
        try:
            torch.save(plain, file)
        except RuntimeError as error:
            raise _disk_error(error) or error from error


def _read_head(path: Path) -> bytes:
    """Return the first bytes of the file, after refusing what is no checkpoint by its looks."""
    if path.is_dir():
        raise ValueError(f"checkpoint {path} is a folder. Expected a file: name one inside it")
    if not path.exists():
        raise FileNotFoundError(
            f"checkpoint {path} does not exist. Check the path; released ones come with "
            "`python scripts/download_checkpoints.py NAME`"
        )
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise ValueError(f"checkpoint {path} is empty (0 bytes). Download or copy it again")
    if looks_like_html(head):
        raise ValueError(
            f"checkpoint {path} is an HTML page: the file host answered with a web page (a quota or log-in page) "
            "instead of the file. Open the link in a browser and save the file itself"
        )
    return head


def _require_whole(path: Path, head: bytes) -> None:
    """Raise ValueError, with the record's name, where a checksum of the archive is wrong."""
    if not head.startswith(_ZIP):
        return
    try:
        record = damaged_record(path)
    except ValueError as error:
        raise ValueError(f"checkpoint {error}: it is no checkpoint, or damaged. Download or copy it again") from error
    if record is not None:
        raise ValueError(
            f"checkpoint {path} is damaged: its record {record} does not match its checksum. Download or copy it again"
        )


def _explain(path: Path, head: bytes, error: Exception) -> str:
    """Say what is wrong with a file that did not load, and what to do."""
    text = str(error)
    if "TorchScript" in text:
        return _SCRIPT
    foreign = foreign_object(path) if isinstance(error, pickle.UnpicklingError) else None
    if foreign is not None and is_code(foreign):
        return (
            f"is a pickle with code in it ({foreign}), which would run if it were loaded. It was not. Expected weights "
            "only: get the file from somebody whom you trust"
        )
    if foreign is not None:
        return (
            f"holds Python objects ({foreign}), not only tensors and numbers. Loading those could run any code, so "
            "it is refused. Where you trust it, save its weights alone, with the code that made it: "
            "torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW_FILE)"
        )
    is_zip = head.startswith(_ZIP)
    if is_zip and not zipfile.is_zipfile(path) or head.startswith(_OLD_FORMAT):
        return f"is truncated or damaged ({path.stat().st_size:,} bytes are there). Download or copy it again"
    other = next((what for start, what in _OTHER_FILES.items() if head.startswith(start)), None)
    if other:
        return f"is not a PyTorch checkpoint but {other}"
    if is_zip:
        return f"is a zip archive but no PyTorch checkpoint ({_first_line(error)}). Unpack it or download it again"
    return f"is not a PyTorch checkpoint: it starts with {head[:8]!r}. Expected a file that torch.save wrote"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _plain(value: Any, where: str) -> Any:
    """Return a copy in plain containers with its tensors on the CPU."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        # torch.save writes a tensor's whole storage: a view would take the memory that it looks into along.
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if whole else tensor.clone()
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int):
                raise ValueError(f"cannot save {where}: key {key!r} is a {_type_name(key)}. Expected a str or an int")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value) in (list, tuple, torch.Size):
        items = [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise ValueError(
        f"cannot save {where}: it is a {_type_name(value)}. Expected a tensor, number, string, None, or a list, tuple "
        "or dictionary of them: convert it"
    )


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _disk_error(error: BaseException | None) -> OSError | None:
    """Find the operating system's error behind the one that torch.save raises when a write fails."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
