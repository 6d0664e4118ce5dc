"""The typed functions of the commands `export ...`; they translate, nothing more."""

from pathlib import Path
from typing import Annotated

import typer

from hintseg.console import say
from hintseg.errors import ConfigError
from hintseg.export.commands import add_label_formats

export = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


add_label_formats(export)


@export.command("onnx", epilog="Example: `hintseg export onnx runs/farm --out farm.onnx`")
def export_onnx(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    out: Annotated[Path, typer.Option(help="file to write; ends in .onnx")],
    opset: Annotated[int, typer.Option(help="version of the ONNX operators, 18 to 24")] = 18,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="images of any size: so it is without --fixed")
    ] = False,
    fixed: Annotated[
        str | None,
        typer.Option(metavar="HEIGHTxWIDTH", help="images of this size only: no size is computed"),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="the network in 16 bits: for GPUs")] = False,
    check: Annotated[
        list[str] | None,
        typer.Option(help="photographs to compare torch on; default: drawn images; repeatable"),
    ] = None,
) -> None:
    """Write the whole prediction of a run as one ONNX file, and check it against torch."""
    from hintseg.export.onnx import OnnxOptions
    from hintseg.export.onnx import export_onnx as write_onnx

    if dynamic and fixed is not None:
        raise ConfigError("--dynamic and --fixed exclude each other; choose one")
    size = None if fixed is None else _height_and_width(fixed)
    done = write_onnx(run, out, OnnxOptions(opset, size, half), check=check or ())
    say(f"{done.file}: {done.bytes / 1e6:.1f} MB; {done.agreement}")


def _height_and_width(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdecimal() for side in sides):
        raise ConfigError(f"--fixed {text}: must be height and width, such as --fixed 480x640")
    return int(sides[0]), int(sides[1])
