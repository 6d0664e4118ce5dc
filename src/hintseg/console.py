"""What a command says when it is stopped, and how its warnings are printed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from hintseg import plain
from hintseg.errors import DataWarning, WriteError
from hintseg.progress import is_first_process


def say(text: object, *, err: bool = False) -> None:
    """Print a line; what a file or a class is called reaches the terminal as plain text."""
    typer.echo(plain.message(str(text)), err=err)


@contextmanager
def stoppable(remedy: str) -> Iterator[None]:
    """Ctrl-C or a full disk ends long work with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if is_first_process():
            say(f"hintseg: interrupted; {remedy}", err=True)
        raise typer.Exit(1) from stop
    except WriteError as error:
        if not error.is_full:
            raise
        raise WriteError(f"{error}; then {remedy}") from error


@contextmanager
def printed_warnings() -> Iterator[None]:
    """A warning about a data set is one line without the place in the program."""
    plain = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, DataWarning):
            say(f"hintseg: warning: {message}", err=True)
        else:
            plain(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield
