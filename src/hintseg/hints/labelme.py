"""LabelMe files <-> hints; the only place that knows LabelMe's keys.

Frames: LabelMe counts from the top-left corner of the top-left pixel (a rectangle around a whole
image of 10 x 10 is (0, 0) to (10, 10)), hintseg from the centre of that pixel. Coordinates are
shifted by -0.5 on reading and by +0.5 on writing.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError
from hintseg.files import read_text, replacing
from hintseg.hints.figures import write_bitmap
from hintseg.hints.labelme_shapes import Report, at, class_of, is_number, shapes_of, show
from hintseg.hints.shapes import (
    FARTHEST,
    MOST_SHAPES,
    Size,
    is_outside,
    overdrawn,
    reaches_out,
)
from hintseg.structures import ClassSet, Hints, Shape, ShapeKind

VERSION = "5.4.1"  # of LabelMe, whose format we write
TYPE_OF: Mapping[ShapeKind, str] = {
    "point": "point",
    "scribble": "linestrip",
    "box": "rectangle",
    "polygon": "polygon",
    "mask": "mask",
}
NEAR = 0.66  # likeness from which a flag is taken for a misspelt class
MOST_NAMED = 5  # flags
MOST_PROBLEMS = 500  # of one file: to look for a near name takes time
MOST_TICKED = 500  # flags
REWRITTEN = ("shapes", "imagePath", "imageData", "imageHeight", "imageWidth")


class _EnoughError(Exception):
    """More problems than anybody reads."""


@dataclass(frozen=True, slots=True)
class _Document:
    """What could be read of a file; a broken entry has no shapes."""

    entries: tuple[tuple[Shape, ...], ...]
    flags: frozenset[int]
    size: Size | None
    extra: Mapping[str, Any]


def read_labelme(path: Path, classes: ClassSet) -> tuple[Hints, Size | None]:
    """Read the hints of one image, drawn with LabelMe 4 or 5.

    Shapes become hints (point, points, line and linestrip as scribbles, rectangle as box, polygon,
    circle, rotation, mask; no shape_type means polygon), true `flags` that name a class become
    tags, others say nothing. Keys that hintseg does not know are kept in `extra` of the hints and
    of each shape, and written again by `write_labelme`. Points outside the image are no error here;
    see `labelme_problems`.

    Returns:
        The hints in hintseg's frame (LabelMe's coordinates minus 0.5), and the (height, width) that
        the file claims for its image, None where it claims none.

    Raises:
        DataError: The first problem of the file, with its place, value and remedy.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from hintseg.structures import ClassSet, Hints, Shape
        >>> classes, hints = ClassSet(("grass", "cow")), Hints((Shape("point", 1, ((4.0, 2.0),)),))
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.json"
        ...     write_labelme(file, hints, classes, image_path="a.jpg", size=(6, 8))
        ...     again, size = read_labelme(file, classes)
        >>> again == hints, size
        (True, (6, 8))
    """
    document = _read(path, classes, partial(_stop, path))
    shapes = tuple(shape for entry in document.entries for shape in entry)
    return Hints(shapes, document.flags, extra=document.extra), document.size


def _stop(path: Path, problem: str) -> None:
    raise DataError(f"{path}: {problem}")


def image_named(path: Path) -> str | None:
    """The `imagePath` of a file; None where it has none or cannot be read."""
    content = _load(path, lambda problem: None)
    named = None if content is None else content.get("imagePath")
    return named if isinstance(named, str) else None


def labelme_problems(
    path: Path, classes: ClassSet, size: Size, *, image: str = "the image"
) -> list[str]:
    """All problems of one file, each with its place, value and remedy; an empty list if sound.

    Beyond what `read_labelme` refuses: shapes that lie wholly outside the image, and a file that
    was drawn on an image of another size.

    Args:
        path: The LabelMe file.
        classes: The classes of the data set.
        size: Height and width of the image, upright.
        image: What it is called.
    """
    problems: list[str] = []

    def note(problem: str) -> None:
        problems.append(problem)
        if len(problems) >= MOST_PROBLEMS:
            raise _EnoughError

    try:
        document = _read(path, classes, note)
    except _EnoughError:
        return [f"{path}: {problem}" for problem in problems] + [
            f"{path}: so many problems that the rest of the file was not looked at; draw it again"
        ]
    if document.size is not None and document.size != size:
        problems.append(size_problem(document.size, size, image))
    too_much = overdrawn([shape for entry in document.entries for shape in entry], size)
    if too_much:
        problems.append(f"shapes: {too_much}")
    for index, entry in enumerate(document.entries):
        if any(is_outside(shape, size) for shape in entry):
            problems.append(
                f"shapes[{index}].points: lies wholly outside the image of {size[1]} x {size[0]} "
                "pixels; move or remove it"
            )
    return [f"{path}: {problem}" for problem in problems]


def labelme_warnings(path: Path, classes: ClassSet, size: Size) -> list[str]:
    """What training does with a file that its author may not expect; arguments as before."""
    document = _read(path, classes, lambda problem: None)
    warnings = []
    out = sum(any(reaches_out(shape, size) for shape in entry) for entry in document.entries)
    if out:
        what = "1 shape reaches" if out == 1 else f"{out} shapes reach"
        warnings.append(f"{what} beyond the image; what lies outside is cut off")
    flags = document.extra.get("flags", {})
    foreign = [show(n) for n, ticked in flags.items() if ticked and not _is_meant(n, classes)]
    if foreign:
        warnings.append(
            f"flags: {', '.join(foreign[:MOST_NAMED])} ticked, but no class; such a flag says "
            "nothing (a tag is a flag with the name of a class)"
        )
    return [f"{path}: {warning}" for warning in warnings]


def write_labelme(
    path: Path, hints: Hints, classes: ClassSet, *, image_path: str, size: Size
) -> None:
    """Write shapes and tags as a file that LabelMe 5 opens, atomically.

    A partial label map has no place in it: write it beside with `label_maps.write_label_map`.

    Args:
        path: The file to write.
        hints: In hintseg's frame; 0.5 is added to every coordinate.
        classes: The classes of the data set.
        image_path: Where LabelMe finds the image, relative to the folder of `path`.
        size: Height and width of that image, upright.

    Raises:
        DataError: Foreign keys in `extra` that JSON cannot hold.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from hintseg.structures import ClassSet, Hints
        >>> classes, cow = ClassSet(("grass", "cow")), Hints(flags=frozenset({1}))
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.json"
        ...     write_labelme(file, cow, classes, image_path="a.jpg", size=(6, 8))
        ...     '"cow": true' in file.read_text()
        True
    """
    document = {
        "version": VERSION,
        "flags": _flags_to_write(hints, classes),
        "shapes": [_shape_to_write(shape, classes) for shape in hints.shapes],
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    rewritten = (*REWRITTEN, "flags")
    document |= {key: value for key, value in hints.extra.items() if key not in rewritten}
    write_document(path, document)


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write what a LabelMe file holds, foreign keys included.

    Raises:
        DataError: They cannot be written as JSON.
        WriteError: The file cannot be written.
    """
    try:
        text = _text(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: foreign keys cannot be written as JSON ({error})") from error
    with replacing(path) as temporary:
        # Half a surrogate pair is legal in JSON only as an escape; "backslashreplace" makes one.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def size_problem(claimed: Size, size: Size, image: str) -> str:
    """What is wrong where hints were drawn on an image of another size."""
    turned = "is it turned? " if claimed == size[::-1] else ""
    return (
        f"imageHeight, imageWidth: drawn on {claimed[0]} x {claimed[1]} pixels, {image} was read "
        f"as {size[0]} x {size[1]}; {turned}put back the annotated image or draw the hints again"
    )


def _text(value: Any, pad: str = "\n") -> str:  # noqa: ANN401
    """What `json.dumps(value, ensure_ascii=False, indent=2)` gives, in a third of the time."""
    if type(value) is str or (type(value) is float and math.isfinite(value)):
        return encode_basestring(value) if type(value) is str else repr(value)
    inner = f"{pad}  "
    if type(value) is list and len(value) > 1 and all(map(_is_place, value)):
        lines = [f"[{inner}  {x!r},{inner}  {y!r}{inner}]" for x, y in value]
        return f"[{inner}{f',{inner}'.join(lines)}{pad}]"
    if type(value) in (list, tuple) and value:
        return f"[{inner}{f',{inner}'.join([_text(each, inner) for each in value])}{pad}]"
    if type(value) is dict and value and all(type(key) is str for key in value):
        lines = [f"{encode_basestring(key)}: {_text(each, inner)}" for key, each in value.items()]
        return f"{{{inner}{f',{inner}'.join(lines)}{pad}}}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", pad)
    return json.dumps(value, ensure_ascii=False)


def _is_place(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is [x, y], both finite and with a fraction."""
    return (
        type(value) is list
        and len(value) == 2
        and type(value[0]) is type(value[1]) is float
        and value[0] - value[0] == 0 == value[1] - value[1]
    )


def _flags_to_write(hints: Hints, classes: ClassSet) -> dict[str, bool]:
    ticked = {classes.names[index]: True for index in sorted(hints.flags)}
    return {name: name in ticked for name in hints.extra.get("flags", {})} | ticked


def _shape_to_write(shape: Shape, classes: ClassSet) -> dict[str, Any]:
    half = 0.0 if shape.kind == "mask" else 0.5  # corners of bitmaps are pixels, others places
    return {
        "label": classes.names[shape.label],
        "points": [[x + half, y + half] for x, y in shape.points],
        "group_id": None,
        "description": "",
        "shape_type": TYPE_OF[shape.kind],
        "flags": {},
        "mask": None if shape.bitmap is None else write_bitmap(shape.bitmap),
        **shape.extra,
    }


def _read(path: Path, classes: ClassSet, report: Report) -> _Document:
    content = _load(path, report)
    if content is None:
        return _Document((), frozenset(), None, {})
    extra = {key: value for key, value in content.items() if key not in REWRITTEN}
    extra["flags"] = _flags_of(content, report)
    return _Document(
        entries=_entries_of(content, classes, report),
        flags=_tags_of(extra["flags"], classes, report),
        size=_size_of(content, report),
        extra=extra,
    )


def _load(path: Path, report: Report) -> dict[str, Any] | None:
    try:
        content = parse_json(read_text(path))
    except FileNotFoundError:
        report("no such file")
    except OSError as error:
        report(f"cannot be read ({error.strerror})")
    except UnicodeError as error:
        report(str(error))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        report(f"not JSON, or cut short ({place}: {error.msg}); save it again in LabelMe")
    except ValueError as error:
        report(f"{error}; save it again in LabelMe")
    else:
        if isinstance(content, dict):
            return content
        report(f"not a LabelMe file: an object with 'shapes' is needed, got {show(content)}")
    return None


def _flags_of(content: dict[str, Any], report: Report) -> dict[str, bool]:
    flags = content.get("flags")
    if flags is None:
        return {}
    if not isinstance(flags, dict):
        report(f"flags: must be {{name: true or false}}, got {show(flags)}; correct it")
        return {}
    for name, value in flags.items():
        if not isinstance(value, bool):
            report(f"flags[{show(name)}]: must be true or false, got {show(value)}; correct it")
    if sum(value is True for value in flags.values()) > MOST_TICKED:
        report(f"flags: more than {MOST_TICKED} are ticked; untick what is no class of the image")
        return {}
    return {name: value is True for name, value in flags.items()}


def _tags_of(flags: Mapping[str, bool], classes: ClassSet, report: Report) -> frozenset[int]:
    """Classes that are ticked; a flag of another purpose says nothing, a misspelt class is told."""
    ticked = [name for name, value in flags.items() if value and _is_meant(name, classes)]
    tags = [class_of(name, classes, at("flags: ", report)) for name in ticked]
    return frozenset(tag for tag in tags if tag is not None)


def _is_meant(name: str, classes: ClassSet) -> bool:
    """Whether a flag names a class, or nearly so."""
    small = {known.casefold() for known in classes.names}
    return name.casefold() in small or bool(get_close_matches(name, classes.names, cutoff=NEAR))


def _size_of(content: dict[str, Any], report: Report) -> Size | None:
    sides: list[int] = []
    for key in ("imageHeight", "imageWidth"):
        value = content.get(key)
        if value is None:
            continue
        if is_number(value) and value == int(value) and 1 <= value <= FARTHEST:
            sides.append(int(value))
        else:
            report(f"{key}: must be a whole number of pixels, got {show(value)}; correct it")
    return (sides[0], sides[1]) if len(sides) == 2 else None


def _entries_of(
    content: dict[str, Any], classes: ClassSet, report: Report
) -> tuple[tuple[Shape, ...], ...]:
    if "shapes" not in content:
        report("not a LabelMe file: it has no 'shapes'; save it again in LabelMe")
        return ()
    entries = content["shapes"]
    if not isinstance(entries, list):
        report(f"shapes: must be a list, got {show(entries)}; save it again in LabelMe")
        return ()
    if len(entries) > MOST_SHAPES:
        report(f"shapes: {len(entries)} of them; at most {MOST_SHAPES} are read, remove the rest")
        return ()
    return tuple(
        shapes_of(entry, classes, at(f"shapes[{index}]", report))
        for index, entry in enumerate(entries)
    )
