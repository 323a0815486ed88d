"""A user's own training data, named by flags or in a TOML file."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from util.config.data import DataConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, kw_only=True)
class UserSource:
    """A user's own data.

    Attributes:
        root: its folder.
        name: for messages; by default the folder's name.
        kind: videos in DAVIS layout, or static pictures `x.jpg` with `x.png`.
        weight: how often a pass shows each video or picture.
        interval: frames of the original video from one annotated frame to the next.
        list: a file with the names of the videos to train on, one on each line.
    """

    root: Path
    name: str = ""
    kind: str = "videos"
    weight: int = 1
    interval: int = 1
    list: Path | None = None


def user_sources(data: DataConfig) -> list[UserSource]:
    """Return the sources that --user_roots and --user_sources name; raises as `read_user_sources`."""
    return [*_from_flags(data), *([] if data.user_sources is None else read_user_sources(data.user_sources))]


def read_user_sources(path: Path) -> list[UserSource]:
    """Read a user's sources from a TOML file.

    Each is a table `[[source]]` with the attributes of `UserSource`; `root` is required. Relative paths start at the
    file's folder.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no TOML, has no source, or one with a wrong key or value.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--user_sources: {path} does not exist: expected a TOML file with [[source]] tables.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error
    tables = content.get("source")
    if not isinstance(tables, list) or not tables or set(content) != {"source"}:
        raise ValueError(
            f"{path}: expected [[source]] tables and nothing else, received {', '.join(content) or 'nothing'}."
        )
    return [_user_source(table, f"{path}, source {number}", path.parent) for number, table in enumerate(tables, 1)]


def _from_flags(data: DataConfig) -> list[UserSource]:
    roots = data.user_roots
    weights = _for_each(data.user_weights, roots, "--user_weights")
    intervals = _for_each(data.user_intervals, roots, "--user_intervals")
    return [
        UserSource(root=root, weight=weight, interval=interval)
        for root, weight, interval in zip(roots, weights, intervals, strict=True)
    ]


def _for_each(values: tuple[int, ...], roots: tuple[Path, ...], flag: str) -> tuple[int, ...]:
    if not values:
        return (1,) * len(roots)
    if len(values) != len(roots) or min(values) < 1:
        raise ValueError(f"{flag} {values}: expected {len(roots)} integers >= 1, one for each of --user_roots.")
    return values


def _user_source(table: Any, where: str, folder: Path) -> UserSource:
    known = [item.name for item in fields(UserSource)]
    unknown = sorted(set(table) - set(known)) if isinstance(table, dict) else [str(table)]
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; expected {', '.join(known)}.")
    for name, value in table.items():
        number = name in ("weight", "interval")
        if number and (type(value) is not int or value < 1):
            raise ValueError(f"{where}: {name} = {value!r}: expected an integer >= 1.")
        if not number and not isinstance(value, str):
            raise ValueError(f"{where}: {name} = {value!r}: expected a text in quotes.")
    if "root" not in table:
        raise ValueError(f"{where}: root is missing: expected the folder of the data.")
    if table.get("kind", "videos") not in ("videos", "static"):
        raise ValueError(f"{where}: kind = {table['kind']!r}: expected 'videos' or 'static'.")
    return UserSource(**{name: folder / value if name in ("root", "list") else value for name, value in table.items()})
