"""JSON files with long lists, written entry by entry: the memory that they need is that of one."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

Write = Callable[[Any], None]


def dumped(content: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Compact JSON in one line; names keep their letters."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


@contextmanager
def json_list(file: TextIO) -> Iterator[Write]:
    """Write a list, an entry a line."""
    separator = "\n"
    file.write("[")

    def write(entry: Any) -> None:  # noqa: ANN401
        nonlocal separator
        file.write(separator + dumped(entry))
        separator = ",\n"

    yield write
    file.write("\n]")
