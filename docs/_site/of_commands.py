"""The page of all commands, from the typed functions of the command line."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from hintseg.cli import app

HEAD = """# Commands

*Written from the code by `make reference`; do not edit.*

Each command has `-h` and `--help`. Exit code 0: done; 1: something could not be done, and one or
two lines say what and how to mend it; 2: a word or an option that the command does not know. Of
options in the form `--link/--copy` the second is the default.
"""


def walk(typer: Typer, before: str = "") -> Iterator[tuple[str, CommandInfo]]:
    """Every command with the names of its groups before its own."""
    for command in typer.registered_commands:
        yield f"{before}{command.name or command.callback.__name__}", command
    for group in typer.registered_groups:
        yield from walk(group.typer_instance, f"{before}{group.name} ")


def kind_of(annotation: Any) -> str:
    """The type of a value, as a user writes it."""
    plain = [part for part in get_args(annotation) if part is not type(None)]
    named = plain[0] if plain else annotation
    words = {"str": "TEXT", "int": "N", "float": "NUMBER", "Path": "PATH", "bool": ""}
    return words.get(getattr(named, "__name__", ""), "TEXT")


def rows(function: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    """(how it is written, default, meaning) of every parameter."""
    hints = get_type_hints(getattr(function, "func", function), include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, info = get_args(hints[name])[:2]
        if isinstance(info, ArgumentInfo):
            shown = f"`{info.metavar or name.strip('_').upper()}`"
        else:
            shown = option(info, name, annotation)
        yield shown, default_of(parameter.default), cell(info.help or "")


def option(info: OptionInfo, name: str, annotation: Any) -> str:
    """An option as it is typed, with what follows it."""
    words = [word for word in info.param_decls or () if word.startswith("-")]
    plain = f"--{name.strip('_').replace('_', '-')}"
    shown = words[0] if words else plain
    metavar = info.metavar or kind_of(annotation)
    return f"`{shown} {metavar}`" if metavar and "/" not in shown else f"`{shown}`"


def default_of(default: Any) -> str:
    """The default as it would be typed."""
    if default is inspect.Parameter.empty:
        return "*has to be given*"
    return "" if default is None or default is False else f"`{default}`"


def cell(text: str) -> str:
    """Text that fits into a table."""
    return text.replace("|", "\\|").replace("<", "\\<")


def section(name: str, command: CommandInfo, like: str | None) -> str:
    """A command: what it does, an example, its options."""
    function = command.callback
    lines = [f"## hintseg {name}", "", command.help or inspect.cleandoc(function.__doc__ or "")]
    lines += ["", command.epilog or ""]
    if like:
        lines += ["", f"Options as of `hintseg {like}`."]
    elif table := [f"| {shown} | {default} | {what} |" for shown, default, what in rows(function)]:
        lines += ["", "| | default | |", "|---|---|---|", *table]
    return "\n".join([*lines, ""])


def commands_page() -> str:
    """The whole page; commands that share a function have its options once."""
    sections, first = [HEAD], {}
    for name, command in walk(app):
        shared = getattr(command.callback, "func", command.callback)
        sections.append(section(name, command, first.get(shared)))
        first.setdefault(shared, name)
    return "\n".join(sections)
