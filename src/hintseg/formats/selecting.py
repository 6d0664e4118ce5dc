"""Only some of what a source holds: scribbles without the boxes that lie beside them."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from hintseg.errors import UnknownNameError
from hintseg.formats.found import Found, Source

DRAWN = {
    "boxes": "box",
    "points": "point",
    "scribbles": "scribble",
    "polygons": "polygon",
    "bitmaps": "mask",
}
ONLY = (*DRAWN, "tags", "painted", "masks")
"""What can be asked for: shapes by kind, tags, painted hints, dense masks."""


def only(source: Source, wanted: Collection[str]) -> Source:
    """A source with these kinds alone; images without any and in no split are left out.

    Raises:
        UnknownNameError: No such kind.
    """
    for name in wanted:
        if name not in ONLY:
            raise UnknownNameError("kind to import", name, ONLY)
    listed = {name for names in source.splits.values() for name in names}
    return replace(source, found=list(_kept(source.found, wanted, listed)))


def _kept(
    found: Iterable[Found], wanted: Collection[str], listed: Collection[str]
) -> Iterator[Found]:
    kinds = {DRAWN[name] for name in wanted if name in DRAWN}
    for each in found:
        each.drawn = [drawn for drawn in each.drawn if drawn.kind in kinds]
        each.tags = each.tags if "tags" in wanted else []
        each.hints = each.hints if "painted" in wanted else None
        each.mask = each.mask if "masks" in wanted else None
        if each.image in listed or each.drawn or each.tags or each.hints or each.mask:
            yield each
