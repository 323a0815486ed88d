"""Names of videos, from lists and from folders: each is a single folder's name, whoever wrote the list."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from dataset.disk.frames import natural_key

_PLAIN = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*")
_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, stripped; the marks of Windows' editors do not count.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason}). Save it as UTF-8.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_names(path: Path) -> list[str]:
    """Read a list of videos: a name on each line, or the first DAVIS release's paths of images; each name once.

    In that release a line is "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png", and its video bear.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not UTF-8, or holds something else than names of folders.
    """
    names = []
    for number, line in enumerate(read_lines(path), start=1):
        first = line.split()[0]
        is_frame = "/" in first and first.lower().endswith(_FRAME_SUFFIXES)
        names.append(check_name(PurePosixPath(first).parent.name if is_frame else line, f"{path}, name {number}"))
    return list(dict.fromkeys(names))


def check_name(name: object, where: str) -> str:
    """Return a name from a file of somebody else's, if it names one visible thing inside a folder and no other place.

    Raises ValueError, with `where` it was read, for a path, a hidden name, or none at all.
    """
    if isinstance(name, str) and _PLAIN.fullmatch(name):  # nearly all; BURST's files hold a million names
        return name
    single = isinstance(name, str) and PurePosixPath(name).name == name == PureWindowsPath(name).name
    if not isinstance(name, str) or not single or name[:1] in ("", ".") or not name.isprintable():
        raise ValueError(f"{where}: {name!r} is no plain name. Expected that of a file or folder, without a path.")
    return name


def read_video_list(what: str, path: Path, where: str, has: Callable[[str], bool]) -> list[str]:
    """Read the names of videos from a file with one on each line, each name once.

    Args:
        what: the list is, for messages.
        path: of the file.
        where: the videos are, for messages.
        has: whether there is a video of a name.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is empty or names a video that is not there, or something else than a video.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{what} {path} does not exist: expected a video's name on each line.")
    names = read_names(path)
    missing = [name for name in names if not has(name)]
    if missing or not names:
        found = f"names {len(missing)} videos that {where} lacks, such as {missing[0]}" if missing else "is empty"
        raise ValueError(f"{what} {path} {found}. Expected a video's name on each line.")
    return names


def read_training_list(lists: Iterable[Path]) -> tuple[list[str], str] | None:
    """Read which videos of a DAVIS root are for training.

    Args:
        lists: its lists, `ImageSets/RELEASE/*.txt`, of which the newest release's train.txt counts.

    Returns:
        The videos' names in the list's order and the release: 2017, 2016 or 480p, which is the first release of 2016.
        None if there is no such list.
    """
    paths = {path.parent.name: path for path in lists if path.name == "train.txt"}
    for release in ("2017", "2016", "480p"):
        if release in paths:
            return read_names(paths[release]), release
    return None


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible folders in a folder, in natural order; none if it does not exist."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    return sorted(names, key=natural_key)
