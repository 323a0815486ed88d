"""Configurations as plain values, for JSON and checkpoints, and back; and with other defaults, for command lines."""

import dataclasses
import types
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def plain(config: Any) -> Any:
    """Return a configuration as dictionaries, lists, numbers and strings, for JSON and checkpoints."""
    if dataclasses.is_dataclass(config):
        return {item.name: plain(getattr(config, item.name)) for item in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [plain(item) for item in config]
    return str(config) if isinstance(config, Path) else config


def from_plain(kind: type[T], values: dict[str, Any]) -> T:
    """Return the configuration that `plain` made into `values`; what is missing takes its default.

    Names that the class does not have, such as those of a newer program, are left out.
    """
    hints = get_type_hints(kind)
    known = {item.name: values[item.name] for item in dataclasses.fields(kind) if item.name in values}  # type: ignore[arg-type]
    return kind(**{name: _typed(hints[name], value) for name, value in known.items()})


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is types.UnionType:  # "X | None"
        return _typed(get_args(hint)[0], value)
    if get_origin(hint) is tuple:
        return tuple(_typed(get_args(hint)[0], item) for item in value)
    return Path(value) if hint is Path else value


def with_defaults(config: T) -> type[T]:
    """Return a subclass of a configuration's class whose defaults are its values, in nested groups too.

    Command lines are generated from classes; so the help shows the values of the preset that was chosen.
    """
    members: list[tuple[str, Any, Any]] = []
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            group = with_defaults(value)
            members.append((item.name, group, field(default_factory=group)))
        else:
            members.append((item.name, item.type, field(default=value)))
    kind = type(config)
    return dataclasses.make_dataclass(kind.__name__, members, bases=(kind,), frozen=True, kw_only=True)
