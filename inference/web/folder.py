"""The folder of sessions: new ones, and those of earlier servers."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from inference.web.film import Film
from inference.web.session import FILE, VERSION, Session


def create(folder: Path, film: Film, name: str, size: int) -> Session:
    """Start a session in a new folder; raises FileExistsError if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / FILE).exists():
        raise FileExistsError(f"{folder} holds a session already")
    session = Session(folder, film, name)
    session.settings.size = size
    session.save()
    return session


def open_session(folder: Path) -> Session:
    """Open a session of an earlier server.

    Raises:
        FileNotFoundError: when the folder holds none, or its film has gone.
        ValueError: when it can't be read, or the film is another one.
    """
    file = folder / FILE
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no session: {FILE} is missing")
    try:
        stored = json.loads(file.read_text())
        film_path, frames, size = Path(stored["film"]), int(stored["frames"]), tuple(stored["size"])
        if stored["version"] != VERSION:
            raise ValueError(f"version {stored['version']}, expected {VERSION}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} can't be read ({error!r}): it was not written by this program") from error
    film = Film(film_path if film_path.is_absolute() else folder / film_path.name)
    if (len(film), film.size) != (frames, size):
        raise ValueError(f"{film.path} is another film than that of {folder}: {len(film)} frames instead of {frames}")
    session = Session(folder, film, str(stored["name"]))
    session.restore(stored)
    return session


def list_sessions(root: Path) -> list[dict[str, Any]]:
    """Return the sessions below a folder, the newest first: name of the folder, of the film, frames, time of change."""
    found = []
    for file in root.glob(f"*/{FILE}"):
        try:
            stored = json.loads(file.read_text())
            entry = {"folder": file.parent.name, "name": str(stored["name"]), "frames": int(stored["frames"])}
            found.append(entry | {"objects": len(stored["objects"]), "changed": file.stat().st_mtime})
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not ours, or being replaced
    return sorted(found, key=lambda entry: -float(entry["changed"]))


def new_folder(root: Path, name: str) -> Path:
    """Return an unused folder below `root`, named after a film."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40] or "film"
    number = 1
    while (folder := root / (slug if number == 1 else f"{slug}-{number}")).exists():
        number += 1
    return folder


def find_by_film(root: Path, film: Path) -> Path | None:
    """Return the newest session below `root` of a film or folder outside it, or None."""
    for entry in list_sessions(root):
        folder = root / str(entry["folder"])
        if json.loads((folder / FILE).read_text())["film"] == str(film.resolve()):
            return folder
    return None


def discard(folder: Path) -> None:
    """Remove a folder that never became a session, such as that of an upload that is no film."""
    if not (folder / FILE).exists():
        shutil.rmtree(folder, ignore_errors=True)
