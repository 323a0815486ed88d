"""What a checkpoint's archive and pickle hold, told without running them."""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

_MOST = 64 * 2**20  # bytes of a pickle that are looked at
# What the pickle of plain tensors, numbers and their containers refers to.
_PLAIN = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|torch\.(Size|device|serialization\._get_layout|storage\.\w+|\w*Storage)"
    r"|torch\._(utils|tensor)\._rebuild\w*|torch\.(b?float|u?int|q?u?int|complex|bool|double|half|long|short|bits)\w*"
    r"|torch\.nn\.parameter\.Parameter"
)
_CODE = re.compile(
    r"(posix|nt|os|sys|subprocess|builtins|__builtin__|runpy|importlib|shutil|socket|pty|commands|ctypes|code|operator|"
    r"functools|types|webbrowser|pickle|_pickle|torch\.hub|torch\.jit|torch\.load|numpy\.load|numpy\.testing)(\.|$)"
)


def damaged_record(path: Path) -> str | None:
    """Return the name of the first record of a zip archive whose checksum is wrong, or None.

    PyTorch writes checksums and does not look at them when it reads. Archives written without them (all zero) pass.

    Raises:
        ValueError: when the records claim to be larger than the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if all(record.CRC == 0 for record in records):
                return None
            claimed, size = sum(record.file_size for record in records), path.stat().st_size
            if claimed > 8 * size:
                raise ValueError(f"{path} has {size:,} bytes, its records claim {claimed:,}")
            return archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):
        return None  # no archive that zipfile reads: loading it says more


def foreign_object(path: Path) -> str | None:
    """Return the first thing in a pickle that is neither a plain container nor part of a tensor: "module.name".

    Looks into a zip archive's data.pkl, else into the file itself; None where nothing was found.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith("data.pkl")]
                content = b"".join(archive.open(name).read(_MOST) for name in names[:1])
        else:
            with path.open("rb") as file:
                content = file.read(_MOST)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None
    return next((name for name in _references(content) if not _PLAIN.fullmatch(name)), None)


def is_code(name: str) -> bool:
    """Tell whether "module.name" is something that acts, rather than a class of data."""
    return _CODE.match(name) is not None


def _references(content: bytes) -> Iterator[str]:
    """Yield "module.name" of everything that the pickles in `content` refer to, as far as they can be followed."""
    stream = io.BytesIO(content)
    while stream.tell() < len(content):  # PyTorch's old format is several pickles, one after the other
        try:
            yield from _references_of_one(stream)
        except Exception:  # pickletools raises whatever bytes that are no pickle make it meet
            return


def _references_of_one(stream: io.BytesIO) -> Iterator[str]:
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(argument)] = strings[-1] if strings else ""
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            strings.append(memo.get(int(argument or 0), ""))
        elif isinstance(argument, str):
            strings.append(argument)
