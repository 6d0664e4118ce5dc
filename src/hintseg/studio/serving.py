"""Start the studio: a socket on this machine, a browser, a server until Ctrl-C."""

import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from urllib.parse import quote

from hintseg.errors import ConfigError, MissingExtraError

try:
    import uvicorn

    from hintseg.studio.guard import ANY, LOOPBACK, Door
except ImportError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("uvicorn", "starlette"):
        raise
    raise MissingExtraError(package, extra="studio", purpose="hintseg studio") from error

FIRST_PORT, PORTS = 8765, 20
SHORTEST_TOKEN = 8


def serve(
    data: Path,
    *,
    run: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    browser: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Work on a data set in the browser until Ctrl-C.

    Args:
        data: Data set folder, or one of photographs that is to become one.
        run: Finished run to begin with; default: the newest that the studio has trained.
        host: Name or address to listen on; another than this machine needs a token.
        port: Default: the first free one from 8765.
        token: What a visitor has to know.
        browser: Open a window.
        say: Prints a line.

    Raises:
        ConfigError: A host without token, a token that is too short, or no free port.
        HintSegError: The data set or the run cannot be opened.
    """
    door, listening = door_of(host, token), listen(host, port)
    # Torch takes seconds: refusals come before it.
    from hintseg.studio.server import build_app  # noqa: PLC0415
    from hintseg.studio.studio import Studio  # noqa: PLC0415

    try:
        studio = Studio(data, run)
    except BaseException:
        listening.close()
        raise
    name = "localhost" if host in ANY else host
    address = f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"
    address += f"?token={quote(token, safe='')}" if token else ""
    say(f"studio: {address} (Ctrl-C ends it; a training goes on)")
    if browser:
        timer = Timer(1.0, webbrowser.open, [address])
        timer.daemon = True
        timer.start()
    config = uvicorn.Config(
        build_app(studio, door), log_level="warning", timeout_graceful_shutdown=3
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def door_of(host: str, token: str | None) -> Door:
    """Who may ask a server that listens on a host; ConfigError where that would be anybody."""
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(f"--token: needs {SHORTEST_TOKEN} characters or more")
    if host in LOOPBACK:
        return Door(token=token)
    if token is None:
        raise ConfigError(
            f"--host {host}: everybody who can reach it could change the data set; add --token WORD"
        )
    return Door((*LOOPBACK, host.lower()), token)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket of a host; ConfigError where there is no free port."""
    tried = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]
    reason = ""
    for number in tried:
        try:
            return socket.create_server(
                (host, number), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except (OSError, OverflowError) as error:
            reason = str(getattr(error, "strerror", None) or error)
    named = f"--port {port}" if port is not None else f"--host {host}"
    raise ConfigError(f"{named}: cannot listen there ({reason}); choose another --port")
