"""The commands `hintseg export FORMAT`: one for each format of label maps, options in common."""

import inspect
from functools import partial, update_wrapper
from pathlib import Path
from typing import Annotated

import typer

from hintseg.console import say
from hintseg.export import LABEL_FORMATS


def export_labels(  # noqa: PLR0913, PLR0917 - a command has as many options
    format: str,
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
    from hintseg.export.exporting import export_labels as write_labels  # noqa: PLC0415 - torch
    from hintseg.export.labelled import ExportOptions  # noqa: PLC0415 - the same

    options = ExportOptions(drawn, objects, tolerance, smallest, background, link, url)
    try:
        done = write_labels(
            format,
            source,
            out,
            images=images,
            classes=classes,
            split=split,
            options=options,
        )
    except KeyboardInterrupt as stop:
        say("hintseg: interrupted; the same command begins anew", err=True)
        raise typer.Exit(1) from stop
    say(f"{out}: {done.summary()}")
    for message in done.failed.values():
        say(f"hintseg: {message}", err=True)
    if done.failed:
        raise typer.Exit(1)


def add_label_formats(group: typer.Typer) -> None:
    """Add a command for each format to `hintseg export`."""
    whole = inspect.signature(export_labels)
    options = [parameter for name, parameter in whole.parameters.items() if name != "format"]
    for name, (what, out) in LABEL_FORMATS.items():
        command = update_wrapper(partial(export_labels, name), export_labels)
        command.__signature__ = whole.replace(parameters=options)  # type: ignore[attr-defined]
        example = f"Example: `hintseg export {name} masks --images photos --out {out}`"
        group.command(name, help=what, epilog=example)(command)
