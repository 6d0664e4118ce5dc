"""Label Studio tasks with predictions (https://labelstud.io/guide/predictions).

A file of tasks to import, and beside it the labelling interface that they ask for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from hintseg.export.json_lists import json_list
from hintseg.export.labelled import LOCAL_FILES, MASKS, Add, ExportOptions, Labelled, Legend
from hintseg.export.pieces import Piece
from hintseg.export.rle import brush_bytes
from hintseg.export.slits import outlines
from hintseg.files import replacing, write_text

CONTROL, IMAGE = "label", "image"  # names in the labelling interface
CONFIG = ".config.xml"


@contextmanager
def write_labelstudio(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """Polygons in percent of the sides (holes joined by slits), or brushes."""
    url = LOCAL_FILES if options.url is None else options.url
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        with json_list(file) as write:

            def add(image: Labelled) -> None:
                write(
                    {
                        "data": {IMAGE: url + quote(image.place)},
                        **_predicted(image, legend, options),
                    }
                )

            yield add
        file.write("\n")
    write_text(out.with_suffix(CONFIG), _interface(legend, options))


def _interface(legend: Legend, options: ExportOptions) -> str:
    """The labelling interface: a control with the classes in their colours."""
    tag = "BrushLabels" if options.drawn == MASKS else "PolygonLabels"
    labels = "".join(
        f'    <Label value={quoteattr(legend.name(i))} background="{legend.hex_colour(i)}"/>\n'
        for i in legend.kept
    )
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}" zoom="true"/>\n'
        f'  <{tag} name="{CONTROL}" toName="{IMAGE}">\n{labels}  </{tag}>\n</View>\n'
    )


def _predicted(image: Labelled, legend: Legend, options: ExportOptions) -> dict[str, Any]:
    regions = [
        _region(f"{number}-{part}", value, piece, image)
        for number, piece in enumerate(image.pieces)
        for part, value in enumerate(_values(piece, image.size, legend.name(piece.label), options))
    ]
    score = {} if image.score is None else {"score": round(image.score, 4)}
    return {"predictions": [{"model_version": "hintseg", **score, "result": regions}]}


def _region(number: str, value: dict[str, Any], piece: Piece, image: Labelled) -> dict[str, Any]:
    height, width = image.size
    score = {} if piece.score is None else {"score": round(piece.score, 4)}
    return {
        "id": number,
        "type": "brushlabels" if "rle" in value else "polygonlabels",
        "from_name": CONTROL,
        "to_name": IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
        **score,
    }


def _values(
    piece: Piece, size: tuple[int, int], name: str, options: ExportOptions
) -> Iterator[dict[str, Any]]:
    if options.drawn == MASKS:
        rle = brush_bytes(piece.inside, piece.left, piece.top, size)
        yield {"format": "rle", "rle": rle, "brushlabels": [name]}
        return
    for ring in outlines(piece, whole=options.by_piece):
        percent = ring * (100 / size[1], 100 / size[0])
        points = [[round(x, 5), round(y, 5)] for x, y in percent.tolist()]
        yield {"points": points, "closed": True, "polygonlabels": [name]}
