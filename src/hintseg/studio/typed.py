"""The typed function of the command `studio`; it translates, nothing more."""

from pathlib import Path
from typing import Annotated

import typer

from hintseg.console import say


def studio(
    data: Annotated[Path, typer.Argument(help="data set folder (with dataset.yaml)")],
    run: Annotated[Path | None, typer.Option(help="finished run to begin with")] = None,
    port: Annotated[int | None, typer.Option(help="default: a free one from 8765")] = None,
    host: Annotated[str, typer.Option(help="another than this machine needs --token")] = (
        "127.0.0.1"
    ),
    token: Annotated[str | None, typer.Option(help="what a visitor has to know")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="open no window")] = False,
) -> None:
    """Draw, train, see and correct in the browser; needs `pip install hintseg[studio]`."""
    from hintseg.studio.serving import serve

    serve(
        data,
        run=run,
        host=host,
        port=port,
        token=token,
        browser=not no_browser,
        say=say,
    )
