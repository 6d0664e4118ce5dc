"""The typed function of the command `simulate`; it translates, nothing more."""

from pathlib import Path
from typing import Annotated

import typer

from hintseg.console import say


def simulate(
    data: Annotated[Path, typer.Argument(help="data set folder (with dataset.yaml)")],
    hints: Annotated[
        str,
        typer.Option(
            help="tags, boxes, points, scribbles; several with commas; points:10 on every tenth "
            "image only"
        ),
    ],
    out: Annotated[Path, typer.Option(help="data set folder to write")],
    fraction: Annotated[
        float, typer.Option(help="share of every stroke that is kept; 0: a point")
    ] = 1.0,
    mix: Annotated[bool, typer.Option("--mix", help="one kind at random per image")] = False,
    wrong_tags: Annotated[
        float, typer.Option(help="share of the images with tags of which one is wrong")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="decides everything random")] = 0,
) -> None:
    """Draw hints as a person would, from the masks of the train split."""
    from hintseg.data.dataset import open_dataset
    from hintseg.data.simulated import simulate_dataset

    kinds = [kind.strip() for kind in hints.split(",") if kind.strip()]
    count = simulate_dataset(
        open_dataset(data),
        out,
        kinds=kinds,
        fraction=fraction,
        mix=mix,
        wrong_tags=wrong_tags,
        seed=seed,
    )
    say(f"{out}: hints for {count} images")
