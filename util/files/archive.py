"""Unpacks zip archives from elsewhere: nothing lands outside the folder, which appears whole or not at all."""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from util.files.atomic import atomic_write
from util.files.web_page import looks_like_html
from util.run.progress import with_progress

_FLAT_SUFFIXES = (".jpg", ".png")
_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")


def unpack(archive: Path, target: Path, *, required: Sequence[str] = (), flat: bool = False) -> int:
    """Unpack a zip archive into the new folder `target` and return the number of files.

    Args:
        archive: the zip file.
        target: the folder, which must not exist or must be empty.
        required: folders that must be in it, side by side. What lies beside them becomes the content of `target`, at
            whatever depth of the archive it is.
        flat: put all x.jpg and x.png of all folders into `target` itself, and leave out the rest.

    Raises:
        ValueError: when the file is no zip archive or is damaged, holds paths that lead elsewhere, links or encrypted
            files, lacks a required folder, or (flat) a name twice.
        OSError: when the disk is too small, or `target` can't be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _plan(archive, opened, required, flat)
            _check_space(target, sum(info.file_size for info, _ in members))
            with atomic_write(target) as folder:
                folder.mkdir()
                count = sum(with_progress(_extract(opened, members, folder), len(members), "unpacking"))
            return count
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        if looks_like_html(archive.read_bytes()[:512]):
            raise ValueError(f"{archive} is a web page, not a zip archive. Remove it and download it again.") from error
        raise ValueError(f"{archive} is damaged ({error}). Remove it and download it again.") from error
    except NotImplementedError as error:
        raise ValueError(
            f"{archive} is packed in a way that Python cannot read ({error}). Unpack it by hand."
        ) from error


def _plan(
    archive: Path, opened: zipfile.ZipFile, required: Sequence[str], flat: bool
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Return the files to unpack and where each goes below the target."""
    files = [(info, _safe_path(archive, info)) for info in opened.infolist() if not info.is_dir()]
    files = [(info, path) for info, path in files if not any(name in _JUNK or name[0] == "." for name in path.parts)]
    if flat:
        plan = [(info, PurePosixPath(path.name)) for info, path in files if path.suffix in _FLAT_SUFFIXES]
    else:
        base = _find_base(archive, [path for _, path in files], required)
        plan = [(info, path.relative_to(base)) for info, path in files if path.is_relative_to(base)]
    if not plan:
        raise ValueError(f"{archive} holds none of the files wanted. Look at its page for another one.")
    seen: set[PurePosixPath] = set()
    for _, path in plan:
        if path in seen:
            raise ValueError(f"{archive} holds {path} twice. Unpack it by hand.")
        seen.add(path)
    return plan


def _safe_path(archive: Path, info: zipfile.ZipInfo) -> PurePosixPath:
    path, kind = PurePosixPath(info.filename), stat.S_IFMT(info.external_attr >> 16)
    leads_away = path.is_absolute() or ".." in path.parts or "\\" in info.filename or re.match("[A-Za-z]:", str(path))
    if leads_away or not path.parts:
        raise ValueError(f"{archive} holds a path that leads out of its folder: {info.filename!r}. Do not trust it.")
    if kind not in (0, stat.S_IFREG):
        raise ValueError(f"{archive} holds a link or device: {info.filename!r}. Do not trust it.")
    if info.flag_bits & 1:
        raise ValueError(f"{archive} is encrypted. Unpack it by hand.")
    return path


def _find_base(archive: Path, paths: Sequence[PurePosixPath], required: Sequence[str]) -> PurePosixPath:
    """Return the uppermost folder of the archive that holds all required ones."""
    folders = {parent for path in paths for parent in path.parents}
    for base in sorted(folders, key=lambda folder: (len(folder.parts), folder)):
        if all(base / name in folders for name in required):
            return base
    top = ", ".join(sorted({path.parts[0] for path in paths})[:5]) or "nothing"
    raise ValueError(
        f"{archive} lacks a folder with {' and '.join(required)}; it holds {top}. The archive has changed: "
        "unpack it by hand."
    )


def _extract(
    opened: zipfile.ZipFile, members: Sequence[tuple[zipfile.ZipInfo, PurePosixPath]], folder: Path
) -> Iterator[int]:
    for info, path in members:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(info) as source, target.open("xb") as file:  # reading to the end compares the checksum
            shutil.copyfileobj(source, file, 1 << 20)
        yield 1


def _check_space(target: Path, needed: int) -> None:
    place = next(parent for parent in target.resolve().parents if parent.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OSError(
            f"{place} has {free:,} bytes free, {target.name} needs {needed:,}: free some space or choose another place"
        )
