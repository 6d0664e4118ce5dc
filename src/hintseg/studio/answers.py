"""What the server answers to each question; it translates, nothing more."""

import gzip
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from hintseg.data.check.checking import check
from hintseg.engine.run import Run
from hintseg.errors import ConfigError, DataError
from hintseg.methods import METHODS
from hintseg.studio.asks import (
    added_in,
    content_of,
    name_of,
    number_of,
    places_in,
    text_in,
    what_of,
    whole_of,
)
from hintseg.studio.classes import uses
from hintseg.studio.drawings import read_change
from hintseg.studio.painted import mask_entry
from hintseg.studio.seeing import Shown
from hintseg.studio.studio import Studio
from hintseg.studio.trainer import is_own, pictures_of

MOST_STEPS = 1_000_000
MOST_CLASS_TEXT = 200  # characters of a name
REPORT_POLICY = "sandbox allow-scripts; default-src 'none'; img-src data:; " + (
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'"
)

Answer = Callable[[Studio, Request, bytes], Response]


def facts(studio: Studio, request: Request, body: bytes) -> Response:
    """Everything that the page shows besides one image."""
    del request, body
    return _json(studio.facts())


def begin(studio: Studio, request: Request, body: bytes) -> Response:
    """Make a data set of a folder of photographs."""
    del request
    content = content_of(body)
    classes, background = content.get("classes"), content.get("background")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError("classes: a list of names is needed")
    if background is not None and not isinstance(background, str):
        raise DataError("background: the name of a class, or nothing")
    studio.begin(classes, background or None)
    return _json(studio.facts())


def settings(studio: Studio, request: Request, body: bytes) -> Response:
    """The text of dataset.yaml, or a new one."""
    if request.method == "POST":
        studio.mend(text_in(content_of(body), "text", "that of dataset.yaml is needed") + "\n")
        return _json(studio.facts())
    return _json({"text": studio.text()})


def upload(studio: Studio, request: Request, body: bytes) -> Response:
    """Take a photograph in."""
    return _json({"file": studio.take_in(name_of(request), body)})


def images(studio: Studio, request: Request, body: bytes) -> Response:
    """The list."""
    del request, body
    return _json({"images": studio.session.images()})


def image(studio: Studio, request: Request, body: bytes) -> Response:
    """Size and hints of an image."""
    del body
    return _json(studio.session.facts_of(name_of(request)))


def picture(studio: Studio, request: Request, body: bytes) -> Response:
    """An image in one piece."""
    del body
    session, side = studio.session, whole_of(request, "side", 1, 4096)
    session.ranking.pause()
    return _jpeg(session.pictures.whole(session.dataset, name_of(request), side))


def tile(studio: Studio, request: Request, body: bytes) -> Response:
    """A tile of an image."""
    del body
    session = studio.session
    session.ranking.pause()
    level, row, column = (whole_of(request, key, 0, 10**6) for key in ("level", "row", "column"))
    return _jpeg(session.pictures.tile(session.dataset, name_of(request), level, row, column))


def thumb(studio: Studio, request: Request, body: bytes) -> Response:
    """A small picture for the list."""
    del body
    session = studio.session
    return _jpeg(session.pictures.thumb(session.dataset, name_of(request)))


def crop(studio: Studio, request: Request, body: bytes) -> Response:
    """A small picture of a place, its box given as shares."""
    del body
    session = studio.session
    box = tuple(number_of(request, key, 2.0) for key in ("left", "top", "right", "bottom"))
    left, top, right, bottom = box
    return _jpeg(
        session.pictures.crop(session.dataset, name_of(request), (left, top, right, bottom))
    )


def save(studio: Studio, request: Request, body: bytes) -> Response:
    """Save a drawing."""
    session, name = studio.session, name_of(request)
    saved = session.save(name, read_change(body), request.headers.get("if-match", ""))
    return _json({**saved.record(), "summary": session.summary(name)})


def aside(studio: Studio, request: Request, body: bytes) -> Response:
    """Move a broken hint file out of the way."""
    del request
    session, name = studio.session, text_in(content_of(body), "name", "of an image is needed")
    return _json(session.set_aside(name).record())


def seen(studio: Studio, request: Request, body: bytes) -> Response:
    """What the models see in an image."""
    del body
    session = studio.session
    session.ranking.pause()
    shown = session.seeing.shown(session.dataset, name_of(request), what_of(request))
    return Response(status_code=204) if shown is None else _label_map(shown)


def piece(studio: Studio, request: Request, body: bytes) -> Response:
    """The predicted piece at a place."""
    del body
    session, name, place = studio.session, name_of(request), _place(request)
    shape = session.seeing.piece(session.dataset, name, what_of(request), place)
    assert shape.bitmap is not None
    return _json(mask_entry(session.dataset.classes[shape.label], shape.points, shape.bitmap))


def similar(studio: Studio, request: Request, body: bytes) -> Response:
    """The region at a place and those that are like it."""
    del body
    session = studio.session
    session.ranking.pause()
    found = session.seeing.similar(session.dataset, name_of(request), _place(request))
    return _json({"places": found, "images": session.seeing.relatives.known})


def label_places(studio: Studio, request: Request, body: bytes) -> Response:
    """Make similar places hints, or take that back."""
    session, content = studio.session, content_of(body)
    if request.path_params["verb"] == "undo":
        session.take_back(added_in(content))
        return _json({"added": []})
    label = text_in(content, "label", "the name of a class is needed")
    return _json({"added": session.label_places(places_in(content), label)})


def classes(studio: Studio, request: Request, body: bytes) -> Response:
    """Add, rename or remove a class."""
    session, content = studio.session, content_of(body)
    changed = 0
    match request.path_params.get("verb", "add"):
        case "add":
            session.add_class(_class_name(content, "name"))
        case "rename":
            changed = session.rename_class(_class_name(content, "name"), _class_name(content, "to"))
        case "remove":
            into = content.get("into")
            session.remove_class(
                _class_name(content, "name"), None if into is None else _class_name(content, "into")
            )
        case verb:
            raise ConfigError(f"{verb}: choose add, rename or remove")
    return _json({**studio.facts(), "changed": changed})


def class_uses(studio: Studio, request: Request, body: bytes) -> Response:
    """In how many images a class has hints."""
    del body
    return _json({"uses": uses(studio.session.dataset, name_of(request))})


def train(studio: Studio, request: Request, body: bytes) -> Response:
    """Start, stop or continue a training."""
    session = studio.session
    match request.path_params["verb"]:
        case "start":
            content = content_of(body)
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


def report(studio: Studio, request: Request, body: bytes) -> Response:
    """The report of a run: a page with scripts of its own, shut in."""
    del body
    number = whole_of(request, "run", 1, 10**9)
    run = studio.session.trainer.run(number)
    path = run / "report.html"
    if not is_own(path, run):
        raise DataError(f"run {number}: no report; it is written at the end of a training")
    return FileResponse(path, headers={"content-security-policy": REPORT_POLICY})


def sheet(studio: Studio, request: Request, body: bytes) -> Response:
    """A picture of a run: what a stage has made, what the network sees by now."""
    del body
    run = Run(studio.session.trainer.run(whole_of(request, "run", 1, 10**9)))
    name = name_of(request)
    if name not in dict(pictures_of(run, run.read_log())):
        raise DataError(f"{name}: no such picture of this training; reload the page")
    return FileResponse(run.root / name, headers={"cache-control": "private, max-age=60"})


def export(studio: Studio, request: Request, body: bytes) -> Response:
    """Begin to write masks."""
    del request
    session = studio.session
    session.export(text_in(content_of(body), "which", "images are needed"))
    return _json(session.exporter.progress.record())


def masks(studio: Studio, request: Request, body: bytes) -> Response:
    """The masks as a ZIP file."""
    del request, body
    session = studio.session
    path = session.exporter.zipped()
    return FileResponse(path, media_type="application/zip", filename="masks.zip")


def problems(studio: Studio, request: Request, body: bytes) -> Response:
    """Everything that `hintseg check` finds."""
    del request, body
    session = studio.session
    found = check(session.root).problems
    return _json({"problems": [session.told(problem) for problem in found]})


def _place(request: Request) -> tuple[float, float]:
    return number_of(request, "x"), number_of(request, "y")


def _class_name(content: dict[str, Any], key: str) -> str:
    name = text_in(content, key, "a class needs a name")
    if not name or len(name) > MOST_CLASS_TEXT:
        raise DataError(f"{key}: a name of 1 to {MOST_CLASS_TEXT} characters is needed")
    return name


class Json(JSONResponse):
    """JSON of whatever files hold: half a surrogate pair too, which only an escape can say."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - as the class above it has it
        """The bytes to send."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _json(content: dict[str, Any]) -> Response:
    return Json(content, headers={"cache-control": "no-store"})


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
