"""Tags of whole images: a table (image, class, class, ...), or a folder for each class.

A table may have a line of headings; with headings that are classes and cells of 0 and 1, a 1 is a
tag. Several classes in one cell are parted by | or, where the cells are not, by semicolons.
"""

import re
from pathlib import Path

from hintseg.errors import DataError
from hintseg.formats.found import Found, Request, Source
from hintseg.formats.pictures import Pictures
from hintseg.formats.reading import rows_of

HEADINGS = (
    "image",
    "images",
    "file",
    "filename",
    "file_name",
    "name",
    "path",
    "photo",
    "id",
    "url",
)
YES = ("1", "1.0", "true", "yes", "x")
NO = ("0", "0.0", "false", "no", "")
TABLES = (".csv", ".tsv", ".txt")


def read(request: Request) -> Source:
    """The rows of a table, or the images in folders that are called as classes.

    Raises:
        DataError: Neither.
    """
    source = request.source
    if source.is_file():
        return _table(request, source)
    tables = [path for path in sorted(source.iterdir()) if path.suffix.lower() in TABLES]
    if len(tables) == 1:
        return _table(request, tables[0])
    return _folders(request)


def _table(request: Request, path: Path) -> Source:
    place = request.place(path)
    rows = list(rows_of(path, place))
    if not rows:
        raise DataError(f"{place}: an empty table; each line is an image and its classes")
    headings = rows[0][1] if rows[0][1][0].casefold() in HEADINGS else None
    body = rows[1:] if headings else rows
    marks = headings is not None and _are_marks([cells for _, cells in body])
    found = []
    for number, cells in body:
        each = Found(cells[0], f"{place}: line {number}")
        if not cells[0]:
            request.journal.leave("a line without an image", each.place)
            continue
        each.tags = _marked(headings or [], cells) if marks else _named(cells[1:])
        if not each.tags:
            request.journal.change("an image without a tag; it has no hint", each.place)
        found.append(each)
    order = tuple(headings[1:]) if marks and headings else ()
    return Source(found, order, folders=[path.parent])


def _are_marks(rows: list[list[str]]) -> bool:
    """Whether all cells but the first of each row are 0 or 1, and some are 1."""
    cells = [cell.casefold() for row in rows for cell in row[1:]]
    return any(cell in YES for cell in cells) and all(cell in (*YES, *NO) for cell in cells)


def _marked(headings: list[str], cells: list[str]) -> list[str]:
    pairs = zip(headings[1:], cells[1:], strict=False)
    return [name for name, cell in pairs if cell.casefold() in YES]


def _named(cells: list[str]) -> list[str]:
    parts = (part.strip() for cell in cells for part in re.split(r"[|;]", cell))
    return list(dict.fromkeys(part for part in parts if part))


def _folders(request: Request) -> Source:
    """The first folder in the path of an image is its class; train/ and the like are splits."""
    home = request.source
    pictures = Pictures([home])
    names = {path.relative_to(home).parts[0] for path in pictures.files}
    split_words = ("train", "val", "valid", "test")
    with_splits = bool(names) and names <= {*split_words}
    found, splits = [], dict[str, list[str]]()
    for path in pictures.files:
        parts = path.relative_to(home).parts
        depth = 1 if with_splits else 0
        each = Found("/".join(parts), request.place(path), file=path)
        if len(parts) > depth + 1:
            each.tags = [parts[depth]]
        else:
            request.journal.leave("an image in no folder of a class", each.place)
            continue
        if with_splits:
            split = parts[0].replace("valid", "val")
            splits.setdefault(split, []).append(each.image)
        found.append(each)
    if not found:
        raise DataError(f"{request.name}: neither a table nor folders of images, one a class")
    return Source(found, folders=[home], splits=splits)
