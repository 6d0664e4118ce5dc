"""The routes of the studio and how mistakes are answered."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hintseg.errors import DataError, HintSegError, WriteError
from hintseg.studio import answers
from hintseg.studio.answers import Json
from hintseg.studio.drawings import ConflictError
from hintseg.studio.guard import OWN_HEADER, SAFE, Door, Guard
from hintseg.studio.session import Session
from hintseg.studio.studio import NotOpenError, Studio

THREADS = 10  # that answer; each keeps memory of its own
STATIC = Path(__file__).parent / "static"
STATUS = (
    (NotOpenError, 404),
    (DataError, 422),
    (WriteError, 507),  # the same may work later: the page keeps the change and tries again
    (HintSegError, 400),
)
ROUTES: tuple[tuple[str, answers.Answer, str], ...] = (
    ("facts", answers.facts, "GET"),
    ("begin", answers.begin, "POST"),
    ("settings", answers.settings, "GET POST"),
    ("upload", answers.upload, "PUT"),
    ("images", answers.images, "GET"),
    ("image", answers.image, "GET"),
    ("picture", answers.picture, "GET"),
    ("tile", answers.tile, "GET"),
    ("thumb", answers.thumb, "GET"),
    ("crop", answers.crop, "GET"),
    ("hints", answers.save, "PUT"),
    ("aside", answers.aside, "POST"),
    ("seen", answers.seen, "GET"),
    ("piece", answers.piece, "GET"),
    ("similar", answers.similar, "GET"),
    ("similar/{verb}", answers.label_places, "POST"),
    ("classes", answers.classes, "POST"),
    ("classes/uses", answers.class_uses, "GET"),
    ("classes/{verb}", answers.classes, "POST"),
    ("train/{verb}", answers.train, "POST"),
    ("report", answers.report, "GET"),
    ("sheet", answers.sheet, "GET"),
    ("export", answers.export, "POST"),
    ("export/masks.zip", answers.masks, "GET"),
    ("problems", answers.problems, "GET"),
)


def build_app(studio: Studio | Session, door: Door) -> Starlette:
    """The server of one folder; `door` says who may ask."""
    served = Studio(studio.root, session=studio) if isinstance(studio, Session) else studio
    routes: list[Route | Mount] = [
        Route(f"/api/{path}", _answering(served, answer), methods=methods.split())
        for path, answer, methods in ROUTES
    ]
    routes += [Route("/", _page), Mount("/", StaticFiles(directory=STATIC))]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        current_default_thread_limiter().total_tokens = THREADS
        served.start()
        yield
        served.close()

    return Starlette(routes=routes, middleware=[Middleware(Guard, door=door)], lifespan=lifespan)


def _answering(studio: Studio, answer: answers.Answer) -> Callable[[Request], Any]:
    """A route that works in a thread; a user's mistake is an answer, not a traceback."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        meant = request.headers.get(OWN_HEADER, "1")
        if request.method not in SAFE and meant not in ("1", studio.id):
            return _refusal(410, "another data set is served here now; the page is read again")
        try:
            return await run_in_threadpool(answer, studio, request, body)
        except ConflictError as error:
            return Json({"error": str(error), "current": error.current.record()}, 409)
        except HintSegError as error:
            status = [code for kind, code in STATUS if isinstance(error, kind)]
            return _refusal(status[0], str(error))
        except RecursionError:
            return _refusal(422, "nested too deeply; mend the file of hints")
        except OSError as error:
            return _refusal(500, f"{error.filename}: {error.strerror}")

    return endpoint


def _refusal(status: int, error: str) -> Response:
    return Json({"error": error}, status)


async def _page(request: Request) -> Response:
    del request
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})
