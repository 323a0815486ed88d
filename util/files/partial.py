"""A file of which only the beginning has come: `NAME.part`, and beside it what is known of the whole."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from util.files.atomic import atomic_write


@dataclass(frozen=True, kw_only=True)
class Partial:
    """What is known of the remote file that `NAME.part` is the beginning of (kept in `NAME.part.json`).

    Attributes:
        url: its address.
        validator: its ETag or date: a part may be continued only while this is the same.
        total: its bytes; None if the server did not say.
    """

    url: str
    validator: str | None = None
    total: int | None = None


def part_of(path: Path) -> Path:
    """Return where the beginning of a file is kept."""
    return path.with_name(path.name + ".part")


def received(part: Path) -> int:
    """Return how many bytes have come."""
    return part.stat().st_size if part.exists() else 0


def read_state(part: Path, url: str) -> Partial | None:
    """Return what is known of a part, or None if it cannot be continued from `url`."""
    try:
        state = Partial(**json.loads(_state_file(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state if state.url == url and part.exists() else None


def write_state(part: Path, state: Partial) -> None:
    """Keep what is known of a part."""
    with atomic_write(_state_file(part)) as temporary:
        temporary.write_text(json.dumps(asdict(state)))


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)


def _state_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")
