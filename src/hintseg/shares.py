"""Some of many images: equal shares of the work, without a word between them; a few, evenly."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hintseg.errors import ConfigError

T = TypeVar("T")


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many items, at even distances.

    Example:
        >>> evenly("abcde", 2)
        ['a', 'c']
    """
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


@dataclass(frozen=True, slots=True)
class Share:
    """Every `count`-th image by the order of names, from the `index`-th on (from 0).

    Which images those are depends on the names alone; as images of one kind often lie side by side,
    the shares have some of each kind.

    Example:
        >>> Share(1, 3).of(["e", "d", "c", "b", "a"])
        ('b', 'e')
        >>> Share().of(["b", "a"])
        ('a', 'b')
    """

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"

    def of(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names of this share, sorted."""
        return tuple(sorted(names)[self.index :: self.count])

    def part(self, rank: int, ranks: int) -> "Share":
        """What one of several processes does of this share.

        Example:
            >>> Share(1, 2).part(2, 3).of("abcdefgh")
            ('f',)
        """
        return Share(self.index + self.count * rank, self.count * ranks)


WHOLE = Share()
"""All images."""


def parse_share(text: str) -> Share:
    """The share that "I/N" names, from "1/N" to "N/N".

    Raises:
        ConfigError: It names none.

    Example:
        >>> parse_share("2/8")
        Share(index=1, count=8)
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(f"--shard {text}: must be I/N, from 1/N to N/N, such as 2/8")
    return Share(number - 1, count)
