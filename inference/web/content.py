"""What `session.json` holds besides the state of the frames: objects, painted masks, settings."""

from dataclasses import asdict, dataclass, field
from typing import Any

# The colours that `util.files.palette.overlay` gives the ids, so that page and film agree.
_COLOURS = (
    "#ef4747", "#43be5d", "#ffc933", "#3a86ff", "#d65cd6", "#26c6c8", "#ff8c32", "#966ffa", "#b0dd3c", "#ff8ab0",
)  # fmt: skip
MAX_OBJECTS = 255


@dataclass
class Object:
    """An object: its id in masks, and how it is shown."""

    id: int
    name: str
    colour: str
    visible: bool = True

    def change(self, changes: dict[str, Any]) -> None:
        """Change `name`, `colour` or `visible`; raises ValueError, and changes nothing, for anything else."""
        for key, value in changes.items():
            fits = {
                "name": isinstance(value, str) and 0 < len(value.strip()) <= 60,
                "colour": isinstance(value, str) and _is_colour(value),
                "visible": isinstance(value, bool),
            }
            if not fits.get(key, False):
                raise ValueError(f"object {self.id}: {key} can't be {value!r}")
        for key, value in changes.items():
            setattr(self, key, value.strip() if isinstance(value, str) else value)


@dataclass
class Given:
    """A painted mask: the objects that it says something about, its version, and whether it corrected a result."""

    objects: list[int]
    version: int
    corrected: bool


@dataclass
class Settings:
    """The shorter side at which the network works, and the network that made the results."""

    size: int = 480
    network: str = ""


@dataclass
class Content:
    """All of it; ids and versions are never used twice."""

    objects: list[Object] = field(default_factory=list)
    next_id: int = 1
    given: dict[int, Given] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    next_version: int = 1

    def object(self, number: int) -> Object:
        """Return the object with an id; raises ValueError if there is none."""
        for item in self.objects:
            if item.id == number:
                return item
        raise ValueError(f"there is no object {number}")

    def new_object(self) -> Object:
        """Add an object; raises ValueError when there are too many."""
        number = self.next_id
        if number > MAX_OBJECTS:
            raise ValueError(f"A session holds at most {MAX_OBJECTS} objects, deleted ones counted.")
        added = _new(number)
        self.objects.append(added)
        self.next_id += 1
        return added

    def require(self, ids: list[int]) -> None:
        """Add the objects with these ids that are not there; raises ValueError, and adds none, for ids above 255."""
        if any(number > MAX_OBJECTS for number in ids):
            raise ValueError(f"The mask holds id {max(ids)}: the page takes ids up to {MAX_OBJECTS}.")
        known = {item.id for item in self.objects}
        for number in sorted(set(ids) - known):
            self.objects.append(_new(number))
            self.next_id = max(self.next_id, number + 1)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"given": {str(frame): asdict(entry) for frame, entry in self.given.items()}}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Content":
        """Return what `to_json` gave; raises KeyError or TypeError if it is none."""
        return cls(
            objects=[Object(**item) for item in stored["objects"]],
            next_id=int(stored["next_id"]),
            given={int(frame): Given(**entry) for frame, entry in stored["given"].items()},
            settings=Settings(**stored["settings"]),
            next_version=int(stored["next_version"]),
        )


def _new(number: int) -> Object:
    return Object(number, f"object {number}", _COLOURS[(number - 1) % len(_COLOURS)])


def _is_colour(text: str) -> bool:
    return len(text) == 7 and text[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in text[1:])
