"""What an import has left and changed: reason -> places; nothing is lost silently."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from hintseg.errors import DataError, HintSegError

T = TypeVar("T")
MOST_LETTERS = 200


@dataclass(slots=True)
class Journal:
    """Reasons with the places that they hold for, in the order in which they came up."""

    left: dict[str, list[str]] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)

    def leave(self, reason: str, place: str) -> None:
        """Note that something is not taken."""
        self.left.setdefault(short(reason), []).append(place)

    def change(self, what: str, place: str) -> None:
        """Note that something is taken otherwise than it stands there."""
        self.changed.setdefault(short(what), []).append(place)

    def add(self, other: "Journal") -> None:
        """Take over all that another journal says."""
        for mine, theirs in ((self.left, other.left), (self.changed, other.changed)):
            for reason, places in theirs.items():
                mine.setdefault(reason, []).extend(places)

    @contextmanager
    def leaving(self, place: str) -> Iterator[None]:
        """What the block cannot read is left: its DataError becomes an entry."""
        try:
            yield
        except DataError as error:
            self.leave(str(error).removeprefix(f"{place}: "), place)

    def attempt(self, place: str, read: Callable[[], T]) -> T | None:
        """What `read` gives; None after noting why it gives nothing."""
        try:
            return read()
        except HintSegError as error:
            self.leave(str(error).removeprefix(f"{place}: "), place)
        return None


def short(text: str) -> str:
    """A reason on one line, however long the value in it is."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 3] + "..."
