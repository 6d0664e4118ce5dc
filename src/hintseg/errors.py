"""Everything that hintseg raises on purpose.

HintSegError
├── DataError            a file or folder of the user's is missing, broken or contradicts another
├── ConfigError          a setting or option has a value that cannot work
│   └── UnknownNameError a name that is not among the known ones
├── RunError             a run folder is missing, unfinished or of another kind
└── MissingExtraError    an optional package is needed and not installed

Each message names the place, the value and the remedy in one or two lines; the command line
prints it without a traceback and exits with 1.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 30  # an error message is no catalogue


class HintSegError(Exception):
    """Root of all errors that a user can cause and mend."""


class DataError(HintSegError):
    """A file or folder is missing, broken or contradicts another."""


class ConfigError(HintSegError):
    """A setting or option has a value that cannot work."""


class UnknownNameError(ConfigError):
    """A name that is not among the known ones; proposes the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = [other for other in names if other.lower() == name.lower()]
        close += get_close_matches(name, names, n=1)
        shown = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
        remedy = f"did you mean {close[0]!r}?" if close else f"choose from {shown}"
        super().__init__(f"no {what} named {name!r}; {remedy}")


class RunError(HintSegError):
    """A run folder is missing, unfinished or of another kind."""


class MissingExtraError(HintSegError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'hintseg[{extra}]'")
