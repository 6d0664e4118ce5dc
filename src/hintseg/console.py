"""What a command says when it is stopped, and how its warnings are printed."""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from hintseg import plain
from hintseg.errors import DataWarning, WriteError
from hintseg.memory import memory_named
from hintseg.progress import is_first_process

LESS = "use smaller images, --device cpu, or a machine with more memory"


class Commands(TyperGroup):
    """The commands: what ends any of them is said in a line, with how to go on."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer has a click of its own
        """Call the command that was asked for."""
        with terminable(), stoppable("the same command begins anew"), memory_named(LESS):
            return super().invoke(ctx)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM is Ctrl-C in the block: files are finished or removed, and a line says how to go on.

    Those who have a handler of their own, as a training has, keep it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
