"""The typed functions of the commands `export ...`; they translate, nothing more."""

from pathlib import Path
from typing import Annotated

import typer

from hintseg.console import stoppable
from hintseg.errors import ConfigError
from hintseg.export import LABEL_FORMATS

export = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def export_labels(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(help="folder of label maps, or data set folder (its masks)")
    ],
    out: Annotated[Path, typer.Option(help="file or folder to write; must not be there yet")],
    images: Annotated[
        Path | None, typer.Option(help="folder of the photographs; default: of the data set")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="names with commas, file of names, data set or run folder"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="of a data set; default: all images")] = None,
    drawn: Annotated[
        str | None,
        typer.Option("--as", help="polygons or masks; of masks: indexed, colors or binary"),
    ] = None,
    objects: Annotated[
        str, typer.Option(help="component: one for each connected piece; class: one for each class")
    ] = "component",
    tolerance: Annotated[float, typer.Option(help="pixels by which outlines may be off")] = 1.0,
    smallest: Annotated[
        int | None,
        typer.Option(help="pieces of fewer pixels are dropped; default 16, of masks 0"),
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="objects of the background class too")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="yolo: links to the photographs, no copies")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="labelstudio: what stands before the path of a photograph")
    ] = None,
) -> None:
    """Write label maps as pre-annotations that a person can correct."""
    from hintseg.export.exporting import export_labels as write_labels
    from hintseg.export.labelled import ExportOptions

    options = ExportOptions(drawn, objects, tolerance, smallest, background, link, url)
    with stoppable(f"delete {out} and begin again"):
        done = write_labels(
            context.info_name or "",
            source,
            out,
            images=images,
            classes=classes,
            split=split,
            options=options,
        )
    typer.echo(f"{out}: {done.summary()}")
    for message in done.failed.values():
        typer.echo(f"hintseg: {message}", err=True)
    if done.failed:
        raise typer.Exit(1)


for _name, (_help, _out) in LABEL_FORMATS.items():
    _example = f"Example: `hintseg export {_name} masks --images photos --out {_out}`"
    export.command(_name, help=_help, epilog=_example)(export_labels)


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
    typer.echo(f"{done.file}: {done.bytes / 1e6:.1f} MB; {done.agreement}")


def _height_and_width(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdecimal() for side in sides):
        raise ConfigError(f"--fixed {text}: must be height and width, such as --fixed 480x640")
    return int(sides[0]), int(sides[1])
