"""Everything that hintseg raises on purpose.

HintSegError
├── DataError            a file or folder of the user's is missing, broken or contradicts another
├── ConfigError          a setting or option has a value that cannot work
│   └── UnknownNameError a name that is not among the known ones
├── RunError             a run folder is missing, unfinished or of another kind
│   ├── NotFiniteError   a number is NaN or infinite: of a model's weights, of its scores
│   └── OutOfMemoryError the work does not fit into the memory of the machine or of its GPU
├── WriteError           a file cannot be written: full disk, no permission, something in the way
├── InstallationError    an installed package is absent or does not fit another one
└── MissingExtraError    an optional package is needed and not installed

A DataWarning is no error: the work goes on, and the command line prints it.

Each message names the place, the value and the remedy in one or two lines; the command line
prints it without a traceback and exits with 1.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 15  # an error message is no catalogue
NEAREST = 5
LONGEST = 2000  # letters of a message
LONGEST_NAME = 200  # letters: looking for a near one takes time


class HintSegError(Exception):
    """Root of all errors that a user can cause and mend.

    A message that quotes something endless is cut in its middle: the place stands before it, the
    remedy behind.
    """

    def __init__(self, message: object = "") -> None:
        text = str(message)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST * 3 // 4]} ... {text[-LONGEST // 4 :]}"
        super().__init__(text)


class DataError(HintSegError):
    """A file or folder is missing, broken or contradicts another."""


class DataWarning(UserWarning):
    """Something about a data set that may be meant so, but is often a mistake."""


class ConfigError(HintSegError):
    """A setting or option has a value that cannot work."""


class UnknownNameError(ConfigError):
    """A name that is not among the known ones; proposes the nearest.

    Where there are too many to name them all, `listing` says how to see them.
    """

    def __init__(self, what: str, name: str, known: Iterable[str], *, listing: str = "") -> None:
        names = sorted(known)
        name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
        close = [other for other in names if other.lower() == name.lower()]
        close += get_close_matches(name, names, n=NEAREST if listing else 1)
        if close:
            proposed = close[:NEAREST] if listing else close[:1]
            remedy = f"did you mean {', '.join(map(repr, dict.fromkeys(proposed)))}?"
        elif len(names) <= MOST_NAMES:
            remedy = f"choose from {', '.join(names)}"
        else:
            nearest = get_close_matches(name, names, n=NEAREST, cutoff=0)
            remedy = f"the nearest of {len(names)} are {', '.join(nearest)}"
        more = f" (all: {listing})" if listing else ""
        super().__init__(f"no {what} named {name!r}; {remedy}{more}")


class RunError(HintSegError):
    """A run folder is missing, unfinished or of another kind."""


class NotFiniteError(RunError):
    """A number of a model is NaN or infinite, so that what it says of images means nothing."""


class OutOfMemoryError(RunError):
    """The work does not fit into the memory of the machine or of its GPU."""


class WriteError(HintSegError):
    """A file cannot be written; what was there before is as it was.

    `is_full` says that there is no room for it: the same may work later.
    """

    def __init__(self, message: str, *, is_full: bool = False) -> None:
        super().__init__(message)
        self.is_full = is_full


class InstallationError(HintSegError):
    """A package that is needed is absent, or does not fit another one."""


class MissingExtraError(HintSegError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'hintseg[{extra}]'")
