"""Files from strangers -> plain values: JSON, text, XML, tables; whatever is wrong is a DataError.

XML is read without entities, external references and document types (`defusedxml`), so that a
file of a kilobyte cannot become gigabytes and cannot ask for other files.
"""

import csv
import json
import math
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError, MissingExtraError
from hintseg.files import read_bytes, read_text
from hintseg.hints.labelme_shapes import is_number, show
from hintseg.hints.shapes import FARTHEST, Point, Size

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_SIDE = 10**6  # pixels; of an image that a source claims
SEPARATORS = (",", ";", "\t")


def load_json(path: Path, place: str) -> Any:  # noqa: ANN401 - whatever a file holds
    """The content of a JSON file.

    Raises:
        DataError: Missing, no JSON, cut short, nested without end.
    """
    try:
        return parse_json(load_text(path, place))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        reason = f"not JSON, or cut short ({where}: {error.msg})"
        raise DataError(f"{place}: {reason}; export it again") from error
    except ValueError as error:  # nested too deeply; whole numbers of more than 4300 digits
        raise DataError(f"{place}: cannot be read as JSON ({error}); export it again") from error


def load_text(path: Path, place: str) -> str:
    """The text of a file, UTF-8; DataError as `load_json`."""
    try:
        return read_text(path)
    except FileNotFoundError as error:
        raise DataError(f"{place}: no such file") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror}); replace it") from error
    except UnicodeError as error:
        raise DataError(f"{place}: {error}") from error


def load_xml(path: Path, place: str) -> "Element":
    """The root of an XML file.

    Raises:
        DataError: Missing, no XML, cut short; entities, a document type.
        MissingExtraError: defusedxml is not installed.
    """
    try:
        from defusedxml import DefusedXmlException  # noqa: PLC0415 - an extra
        from defusedxml.ElementTree import ParseError, parse  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("defusedxml", extra="formats", purpose="reading XML") from error
    try:
        with BytesIO(read_bytes(path)) as content:
            root: Element | None = parse(content, forbid_dtd=False).getroot()
    except FileNotFoundError as error:
        raise DataError(f"{place}: no such file") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror})") from error
    except DefusedXmlException as error:
        reason = f"refused, it defines entities ({type(error).__name__})"
        raise DataError(f"{place}: {reason}; export it again") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise DataError(f"{place}: not XML, or cut short ({error}); export it again") from error
    if root is None:
        raise DataError(f"{place}: holds no element; export it again")
    return root


def rows_of(path: Path, place: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row of a table with commas, semicolons or tabs."""
    lines = load_text(path, place).splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    try:
        reader = csv.reader(lines, delimiter=separator)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{place}: not a table ({error})") from error


def numbers_in(value: Any) -> list[float]:  # noqa: ANN401 - whatever a file holds
    """A list of finite numbers.

    Raises:
        DataError: Something else.
    """
    if not isinstance(value, list) or not {*map(type, value)} <= {int, float}:
        raise DataError(f"finite numbers are needed, got {show(value)}")
    if not all(-FARTHEST <= number <= FARTHEST for number in value):  # NaN is neither
        raise DataError(f"no image reaches as far as {show(value)}")
    return [float(number) for number in value]


def number(value: Any) -> float:  # noqa: ANN401 - whatever a file holds
    """A finite number, of JSON or as text; DataError for anything else."""
    try:
        found = float(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if found is None or not is_number(found):
        raise DataError(f"a finite number is needed, got {show(value)}")
    return far(found)


def far(value: float | int) -> float:
    """A coordinate that can be one of an image; DataError beyond."""
    if not abs(value) <= FARTHEST:
        raise DataError(f"no image reaches as far as {show(value)}")
    return float(value)


def pairs(values: list[float]) -> tuple[Point, ...]:
    """x, y, x, y, ... as points; DataError for an odd number."""
    if len(values) % 2:
        raise DataError(f"x and y are needed for each point, got {len(values)} numbers")
    return tuple(zip(values[::2], values[1::2], strict=True))


def size_of(height: object, width: object) -> Size | None:
    """The height and width that a source claims for an image; None where it claims none."""
    try:
        sides = int(number(height)), int(number(width))
    except DataError:
        return None
    return sides if all(1 <= side <= MOST_SIDE for side in sides) else None


def entries(content: Any, key: str, place: str) -> list[Any]:  # noqa: ANN401
    """The list under a key of an object; empty where there is none.

    Raises:
        DataError: Something else than a list.
    """
    found = content.get(key) or []
    if not isinstance(found, list):
        raise DataError(f"{place}: {key} must be a list, got {show(found)}")
    return found


def rounded_ellipse(
    centre: Point, radii: Point, degrees: float = 0.0, sides: int = 64
) -> tuple[Point, ...]:
    """A polygon for an ellipse that is turned clockwise (as the screen shows it) by an angle."""
    turn = math.radians(degrees)
    cosine, sine = math.cos(turn), math.sin(turn)
    points = []
    for side in range(sides):
        angle = 2 * math.pi * side / sides
        x, y = radii[0] * math.cos(angle), radii[1] * math.sin(angle)
        points.append((centre[0] + x * cosine - y * sine, centre[1] + x * sine + y * cosine))
    return tuple(points)


def turned_box(corner: Point, size: Point, degrees: float, pivot: Point) -> tuple[Point, ...]:
    """The corners of a box (top left, width and height) turned clockwise about a pivot."""
    turn = math.radians(degrees)
    cosine, sine = math.cos(turn), math.sin(turn)
    (left, top), (width, height) = corner, size
    points = []
    for x, y in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height)):
        dx, dy = left + x - pivot[0], top + y - pivot[1]
        points.append((pivot[0] + dx * cosine - dy * sine, pivot[1] + dx * sine + dy * cosine))
    return tuple(points)
