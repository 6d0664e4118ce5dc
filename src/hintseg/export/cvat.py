"""CVAT for images 1.1, an XML file (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/).

Upload it to a task of the same photographs: CVAT matches them by their names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from hintseg.export.contours import Corners
from hintseg.export.labelled import MASKS, Add, ExportOptions, Labelled, Legend
from hintseg.export.pieces import Piece
from hintseg.export.rle import cvat_counts
from hintseg.export.slits import outlines
from hintseg.files import replacing


@contextmanager
def write_cvat(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """Polygons (holes joined by slits) or masks; all polygons of one object have one group."""
    count = 0
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(_head(legend, options))

        def add(image: Labelled) -> None:
            nonlocal count
            (height, width), name = image.size, quoteattr(image.place)
            head = f'  <image id="{count}" name={name} width="{width}" height="{height}">\n'
            shapes = [
                line
                for group, piece in enumerate(image.pieces, start=1)
                for line in _shapes(piece, group, legend.name(piece.label), options)
            ]
            file.write(head + "".join(shapes) + "  </image>\n")
            count += 1

        yield add
        file.write("</annotations>\n")


def _head(legend: Legend, options: ExportOptions) -> str:
    kind = "mask" if options.drawn == MASKS else "polygon"
    labels = "".join(
        f"        <label><name>{escape(legend.name(index))}</name>"
        f"<color>{legend.hex_colour(index)}</color><type>{kind}</type>"
        "<attributes></attributes></label>\n"
        for index in legend.kept
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        "  <meta>\n    <task>\n      <name>hintseg</name>\n      <mode>annotation</mode>\n"
        f"      <labels>\n{labels}      </labels>\n    </task>\n  </meta>\n"
    )


def _shapes(piece: Piece, group: int, name: str, options: ExportOptions) -> Iterator[str]:
    known = f'label={quoteattr(name)} source="auto" occluded="0"'
    if options.drawn == MASKS:
        height, width = piece.inside.shape
        yield (
            f'    <mask {known} rle="{cvat_counts(piece.inside)}" left="{piece.left}" '
            f'top="{piece.top}" width="{width}" height="{height}" z_order="0"></mask>\n'
        )
        return
    rings = outlines(piece, whole=options.by_piece)
    grouped = f' group_id="{group}"' if len(rings) > 1 else ""
    for ring in rings:
        points = _points(ring)
        yield f'    <polygon {known} points="{points}" z_order="0"{grouped}></polygon>\n'


def _points(corners: Corners) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in corners.tolist())
