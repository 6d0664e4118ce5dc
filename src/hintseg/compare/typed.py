"""The typed function of the command `compare`; it translates, nothing more."""

from pathlib import Path
from typing import Annotated

import typer

from hintseg.console import say


def compare(
    data: Annotated[Path, typer.Argument(help="data set folder, or that of a comparison")],
    cell: Annotated[str | None, typer.Argument(help="with --verify: name or number")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the comparison")] = None,
    methods: Annotated[str, typer.Option(help="see `hintseg methods`; with commas")] = "",
    hints: Annotated[
        str,
        typer.Option(
            help="tags, boxes, points, scribbles, some of them as in tags+points, mix (one kind "
            "per image), own (those of the data set); with commas"
        ),
    ] = "",
    fractions: Annotated[str, typer.Option(help="shares of every stroke, such as 1,0.5,0")] = "",
    seeds: Annotated[str, typer.Option(help="such as 0,1,2; hints and training")] = "",
    steps: Annotated[int | None, typer.Option(help="optimiser steps")] = None,
    size: Annotated[int | None, typer.Option(help="longer side of every image")] = None,
    crop: Annotated[int | None, typer.Option(help="side of the training crops")] = None,
    batch: Annotated[int | None, typer.Option(help="images a step")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm network")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of settings by section")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="any setting: train.lr=0.001; repeatable")
    ] = None,
    variants: Annotated[
        str,
        typer.Option(
            help="how to predict: plain, scales, crf, retrieval, some of them as in scales+crf; "
            "default: each of the four"
        ),
    ] = "",
    splits: Annotated[str, typer.Option(help="to evaluate on; default test, and val if any")] = "",
    crf: Annotated[str | None, typer.Option(help="preset of the dense CRF")] = None,
    seconds: Annotated[
        str,
        typer.Option(help="a person's own: tag=1,point=2.4,more=0.9,scribble=10.9,box=7,mask=79"),
    ] = "",
    jobs: Annotated[int, typer.Option(help="cells at once; they share cores and GPUs")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list the cells and the time")] = False,
    one: Annotated[
        str | None, typer.Option("--cell", help="do this one alone: name or number")
    ] = None,
    collect: Annotated[bool, typer.Option("--collect", help="write table and page only")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="do a cell again, and say whether it is the same")
    ] = False,
) -> None:
    """Every method on equal terms: table, page, and figures that anyone can repeat.

    The same command goes on where it stopped; with the folder in place of the data set it needs no
    option. Exit code 1 if a cell fails.
    """
    from hintseg.compare import commands
    from hintseg.compare.grid import Request

    named = {
        "steps": steps,
        "size": size,
        "crop": crop,
        "batch": batch,
        "backbone": backbone,
        "device": device,
    }
    given = {key: value for key, value in named.items() if value is not None}
    request = Request(
        data=str(data),
        methods=commands.words(methods),
        hints=commands.words(hints),
        fractions=commands.numbers(fractions, "--fractions"),
        seeds=commands.integers(seeds, "--seeds"),
        settings=commands.settings_of(given, set_ or []),
        below=commands.sections_of(config),
        variants=commands.words(variants),
        splits=commands.words(splits),
        crf=crf,
    )
    chosen = commands.Chosen(one, cell, dry_run=dry_run, collect=collect, verify=verify)
    own = commands.rates_of(seconds)
    try:
        good = commands.run(request, out, chosen, jobs=jobs, seconds=own, say=say)
    except KeyboardInterrupt as stop:
        say("hintseg: interrupted; the same command goes on", err=True)
        raise typer.Exit(1) from stop
    if not good:
        raise typer.Exit(1)
