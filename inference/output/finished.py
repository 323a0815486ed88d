"""Whether a video's results are all there, and whole; and what killed runs left behind."""

import glob
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from dataset.disk.films import VideoFileFrames
from util.files.atomic import remove
from util.files.picture import open_picture

_LEFT = re.compile(r"\.(?P<stem>.+)\.\d+-[0-9a-f]{8}\.tmp(?P<suffix>\.\w+)?")  # as `atomic_write` names them
_PNG_END = b"IEND\xaeB`\x82"


def is_finished(
    names: Iterable[str],
    masks: str | os.PathLike[str],
    *,
    probs: str | os.PathLike[str] | None = None,
    overlay: str | os.PathLike[str] | None = None,
    coco: str | os.PathLike[str] | None = None,
    objects: Iterable[str] = (),
) -> bool:
    """Say whether a video's results, those that are asked for, are all there and whole; arguments as `ResultWriter`.

    A file that ends early is not whole; what has changed inside of it is not looked for.
    """
    names = list(names)
    pngs = [Path(masks, folder, f"{name}.png") for folder in [*objects] or [""] for name in names]
    checks: list[tuple[Path, Callable[[Path], object]]] = [(file, _check_png) for file in pngs]
    if probs is not None:
        checks += [(Path(probs, f"{name}.npz"), _check_archive) for name in names]
    if overlay is not None:
        checks.append((Path(overlay), _check_film))
    if coco is not None:
        checks.append((Path(coco), _check_json))
    return all(_is_whole(file, check) for file, check in checks)


def remove_left_over(places: Iterable[Path]) -> list[Path]:
    """Remove the hidden files and folders in which killed runs were writing these places; returns them.

    Only for one who is alone with the places: those of a run that goes on look the same.
    """
    found = []
    for place in places:
        for entry in place.parent.glob(f".{glob.escape(place.stem)}.*.tmp*") if place.parent.is_dir() else ():
            match = _LEFT.fullmatch(entry.name)
            if match and match["stem"] == place.stem and (match["suffix"] or "") == place.suffix:
                remove(entry)
                found.append(entry)
    return found


def _is_whole(file: Path, check: Callable[[Path], object]) -> bool:
    try:
        return file.is_file() and check(file) is not False
    except (OSError, SyntaxError, ValueError, zipfile.BadZipFile):
        return False


def _check_png(file: Path) -> bool:
    with open_picture(file), file.open("rb") as content:
        content.seek(-len(_PNG_END), os.SEEK_END)
        return content.read() == _PNG_END


def _check_archive(file: Path) -> None:
    with zipfile.ZipFile(file):  # its directory comes last
        pass


def _check_film(file: Path) -> None:
    VideoFileFrames(file)  # as many frames as its header tells of


def _check_json(file: Path) -> None:
    json.loads(file.read_text())
