"""Names that a package imports when they are asked for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def imported_when_asked(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` (PEP 562): command lines are read without PyTorch, which takes seconds.

    Args:
        package: its name.
        modules: of its public names, the modules in it that define them.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get
