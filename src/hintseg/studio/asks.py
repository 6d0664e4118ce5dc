"""What requests ask for: values of the address and of the body, checked."""

from typing import Any

from starlette.requests import Request

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError
from hintseg.studio.seeing import WHAT

MOST_PLACES = 200  # that are labelled at once


def name_of(request: Request) -> str:
    """The image that is meant; whether there is one, the data set knows."""
    return request.query_params.get("name", "")


def what_of(request: Request) -> str:
    """Which prediction is meant."""
    what = request.query_params.get("what", "quick")
    if what not in WHAT:
        raise DataError(f"what={what}: choose {' or '.join(WHAT)}")
    return what


def whole_of(request: Request, key: str, low: int, high: int) -> int:
    """A whole number of the address."""
    text = request.query_params.get(key, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise DataError(f"{key}={text:.20}: must be a whole number from {low} to {high}")
    return int(text)


def number_of(request: Request, key: str, most: float = 1e7) -> float:
    """A number of the address."""
    text = request.query_params.get(key, "")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < most:
        raise DataError(f"{key}={text:.20}: must be a number below {most:g}")
    return value


def content_of(body: bytes) -> dict[str, Any]:
    """The JSON object that was sent."""
    try:
        content = parse_json(body)
    except ValueError as error:
        raise DataError(f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError("must be a JSON object")
    return content


def text_in(content: dict[str, Any], key: str, purpose: str) -> str:
    """A text of an object that was sent."""
    value = content.get(key)
    if not isinstance(value, str):
        raise DataError(f"{key}: {purpose}, got {value!r:.80}")
    return value.strip()


def places_in(content: dict[str, Any]) -> list[tuple[str, int]]:
    """Images and regions of them."""
    places = content.get("places")
    if not isinstance(places, list) or not 0 < len(places) <= MOST_PLACES:
        raise DataError(f"places: 1 to {MOST_PLACES} of them are needed")
    found = [(one.get("name"), one.get("region")) for one in places if isinstance(one, dict)]
    sound = [(n, r) for n, r in found if isinstance(n, str) and isinstance(r, int)]
    if len(sound) < len(places):
        raise DataError("places: each needs a name and a region")
    return sound


def added_in(content: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Images and the shapes that were added to them."""
    added = content.get("added")
    listed = added if isinstance(added, list) else []
    found = [(one.get("name"), one.get("shapes")) for one in listed if isinstance(one, dict)]
    sound = [(n, s) for n, s in found if isinstance(n, str) and isinstance(s, list)]
    if not sound or len(sound) < len(listed):
        raise DataError("added: images and their shapes are needed")
    return sound
