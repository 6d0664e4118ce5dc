"""The routes of the studio: JSON and pictures; it translates, nothing more."""

import gzip
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hintseg.documents.from_json import parse_json
from hintseg.errors import ConfigError, DataError, HintSegError
from hintseg.hints.figures import write_bitmap
from hintseg.methods import METHODS
from hintseg.structures import Shape
from hintseg.studio.drawings import ConflictError, read_change
from hintseg.studio.guard import Door, Guard
from hintseg.studio.seeing import WHAT, Shown
from hintseg.studio.session import Session

STATIC = Path(__file__).parent / "static"
MOST_STEPS = 1_000_000


def build_app(session: Session, door: Door) -> Starlette:
    """The server of one session; `door` says who may ask."""
    routes = [
        Route("/api/facts", _answering(session, _facts)),
        Route("/api/images", _answering(session, _images)),
        Route("/api/image", _answering(session, _image)),
        Route("/api/picture", _answering(session, _picture)),
        Route("/api/tile", _answering(session, _tile)),
        Route("/api/thumb", _answering(session, _thumb)),
        Route("/api/hints", _answering(session, _save), methods=["PUT"]),
        Route("/api/seen", _answering(session, _seen)),
        Route("/api/piece", _answering(session, _piece)),
        Route("/api/classes", _answering(session, _add_class), methods=["POST"]),
        Route("/api/train/{verb}", _answering(session, _train), methods=["POST"]),
        Route("/", _page),
        Mount("/", StaticFiles(directory=STATIC)),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        session.start()
        yield
        session.close()

    return Starlette(routes=routes, middleware=[Middleware(Guard, door=door)], lifespan=lifespan)


class _Json(JSONResponse):
    """JSON of whatever files hold: half a surrogate pair too, which only an escape can say."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - as the class above it has it
        """The bytes to send."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


Ask = Callable[[Session, Request, bytes], Response]


def _answering(session: Session, ask: Ask) -> Callable[[Request], Any]:
    """A route that works in a thread; a user's mistake is an answer, not a traceback."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            return await run_in_threadpool(ask, session, request, body)
        except ConflictError as error:
            return _Json({"error": str(error), "current": error.current.record()}, 409)
        except DataError as error:
            return _Json({"error": str(error)}, 422)
        except HintSegError as error:
            return _Json({"error": str(error)}, 400)
        except RecursionError:
            return _Json({"error": "nested too deeply; mend the file of hints"}, 422)
        except OSError as error:
            return _Json({"error": f"{error.filename}: {error.strerror}"}, 500)

    return endpoint


async def _page(request: Request) -> Response:
    del request
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


def _facts(session: Session, request: Request, body: bytes) -> Response:
    del request, body
    session.look_for_model()
    return _json(session.facts())


def _images(session: Session, request: Request, body: bytes) -> Response:
    del request, body
    return _json({"images": session.images()})


def _image(session: Session, request: Request, body: bytes) -> Response:
    del body
    return _json(session.facts_of(_name(request)))


def _picture(session: Session, request: Request, body: bytes) -> Response:
    del body
    side = _whole(request, "side", 1, 4096)
    return _jpeg(session.pictures.whole(session.dataset, _name(request), side))


def _tile(session: Session, request: Request, body: bytes) -> Response:
    del body
    session.ranking.pause()
    level, row, column = (_whole(request, key, 0, 10**6) for key in ("level", "row", "column"))
    return _jpeg(session.pictures.tile(session.dataset, _name(request), level, row, column))


def _thumb(session: Session, request: Request, body: bytes) -> Response:
    del body
    return _jpeg(session.pictures.thumb(session.dataset, _name(request)))


def _save(session: Session, request: Request, body: bytes) -> Response:
    name, version = _name(request), request.headers.get("if-match", "")
    saved = session.save(name, read_change(body), version)
    return _json({**saved.record(), "summary": session.summary(name)})


def _seen(session: Session, request: Request, body: bytes) -> Response:
    del body
    session.ranking.pause()
    shown = session.seeing.shown(session.dataset, _name(request), _what(request))
    return Response(status_code=204) if shown is None else _label_map(shown)


def _piece(session: Session, request: Request, body: bytes) -> Response:
    del body
    place = (_number(request, "x"), _number(request, "y"))
    name = _name(request)
    shape = session.seeing.piece(session.dataset, name, _what(request), place)
    return _json(_entry(shape, session.dataset.classes[shape.label]))


def _add_class(session: Session, request: Request, body: bytes) -> Response:
    del request
    name = _content(body).get("name")
    if not isinstance(name, str):
        raise DataError("a class needs a name")
    session.add_class(name.strip())
    return _json(session.facts())


def _train(session: Session, request: Request, body: bytes) -> Response:
    match request.path_params["verb"]:
        case "start":
            content = _content(body)
            method, steps = content.get("method", "spml"), content.get("steps", 300)
            known = isinstance(method, str) and method in METHODS
            if not known or type(steps) is not int or not 0 < steps <= MOST_STEPS:
                text = f"method {method!r:.40}, steps {steps!r:.40}"
                raise ConfigError(f"{text}: cannot be trained with; reload the page")
            session.trainer.start(session.dataset, method=method, steps=steps)
        case "stop":
            session.trainer.stop()
        case "resume":
            session.trainer.resume()
        case verb:
            raise ConfigError(f"{verb:.40}: choose start, stop or resume")
    return _json(session.trainer.progress().record())


def _name(request: Request) -> str:
    return request.query_params.get("name", "")


def _what(request: Request) -> str:
    what = request.query_params.get("what", "quick")
    if what not in WHAT:
        raise DataError(f"what={what}: choose {' or '.join(WHAT)}")
    return what


def _whole(request: Request, key: str, low: int, high: int) -> int:
    text = request.query_params.get(key, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high):
        raise DataError(f"{key}={text:.20}: must be a whole number from {low} to {high}")
    return int(text)


def _number(request: Request, key: str) -> float:
    text = request.query_params.get(key, "")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e7:
        raise DataError(f"{key}={text:.20}: must be a number of pixels")
    return value


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = parse_json(body)
    except ValueError as error:
        raise DataError(f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError("must be a JSON object")
    return content


def _json(content: dict[str, Any]) -> Response:
    return _Json(content, headers={"cache-control": "no-store"})


def _jpeg(content: bytes) -> Response:
    return Response(
        content, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"}
    )


def _label_map(shown: Shown) -> Response:
    """Height, width, bytes of a label, flags; the labels; the doubt: little-endian, zipped."""
    labels = shown.labels.astype("<u2" if shown.labels.max(initial=0) > 254 else "u1")
    doubt = (shown.doubt.numpy() * 255).round().astype(np.uint8)
    head = struct.pack("<4I", *labels.shape, labels.dtype.itemsize, int(shown.quick))
    content = gzip.compress(head + labels.tobytes() + doubt.tobytes(), 1)
    headers = {
        "content-encoding": "gzip",
        "cache-control": "no-store",
        "x-generation": str(shown.generation),
    }
    return Response(content, media_type="application/octet-stream", headers=headers)


def _entry(shape: Shape, label: str) -> dict[str, Any]:
    """A bitmap as an entry of a LabelMe file."""
    assert shape.bitmap is not None
    return {
        "label": label,
        "points": [list(point) for point in shape.points],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": write_bitmap(shape.bitmap),
    }
