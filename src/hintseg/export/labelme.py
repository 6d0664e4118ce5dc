"""LabelMe files, one for each photograph; hintseg reads them again as hints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hintseg.export.labelled import MASKS, Add, ExportOptions, Labelled, Legend
from hintseg.export.pieces import Piece
from hintseg.export.slits import outlines
from hintseg.files import relative_to
from hintseg.hints.labelme import write_labelme
from hintseg.structures import Hints, Shape


@contextmanager
def write_labelme_files(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """Polygons (holes joined by slits) or masks; all polygons of one object have one group."""

    def add(image: Labelled) -> None:
        file = (out / image.place).with_suffix(".json")
        assert image.photograph is not None
        shapes = tuple(
            shape
            for group, piece in enumerate(image.pieces, start=1)
            for shape in _shapes(piece, group, options)
        )
        place = relative_to(image.photograph, file.parent)
        write_labelme(file, Hints(shapes), legend.classes, image_path=place, size=image.size)

    yield add


def _shapes(piece: Piece, group: int, options: ExportOptions) -> Iterator[Shape]:
    if options.drawn == MASKS:
        height, width = piece.inside.shape
        first = float(piece.left), float(piece.top)
        last = first[0] + width - 1, first[1] + height - 1
        yield Shape("mask", piece.label, (first, last), bitmap=piece.inside)
        return
    rings = outlines(piece, whole=options.by_piece)
    extra = {"group_id": group} if len(rings) > 1 else {}
    for ring in rings:
        points = tuple((x - 0.5, y - 0.5) for x, y in ring.tolist())
        yield Shape("polygon", piece.label, points, extra=extra)
