"""Public names of a package that are imported when they are first asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package: torch is loaded by who needs it, not by all who import.

    Args:
        package: Its name.
        homes: Public name -> module of the package in which it is.
    """

    def find(name: str) -> Any:  # noqa: ANN401 - any public object
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
