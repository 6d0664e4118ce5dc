"""COCO JSON: one file for all images (https://cocodataset.org/#format-data).

Annotations come before images in the file, so that they can be written one by one; keys have no
order in JSON.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hintseg.export.json_lists import dumped, json_list
from hintseg.export.labelled import MASKS, Add, ExportOptions, Labelled, Legend
from hintseg.export.pieces import Piece
from hintseg.export.rle import coco_counts
from hintseg.export.slits import one_ring
from hintseg.files import replacing
from hintseg.versions import version_of


@contextmanager
def write_coco(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """Images, annotations and categories; numbers of all start at 1.

    A polygon for each connected part, holes joined to it by slits, since COCO fills whatever
    lies in a polygon; as masks: compressed RLE.
    """
    images: list[dict[str, Any]] = []
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"info":' + dumped(_info()) + ',\n"licenses":[],\n"categories":')
        file.write(dumped([_category(number, name) for number, name, _ in legend]))
        file.write(',\n"annotations":')
        count = 0
        with json_list(file) as write:

            def add(image: Labelled) -> None:
                nonlocal count
                images.append(_image(len(images) + 1, image))
                for piece in image.pieces:
                    count += 1
                    drawn = _segmentation(piece, image.size, options)
                    write(_annotation(count, len(images), legend.number(piece.label), piece, drawn))

            yield add
        file.write(',\n"images":' + dumped(images) + "}\n")


def _info() -> dict[str, str]:
    return {"description": f"label maps, written by hintseg {version_of('hintseg') or ''}".strip()}


def _category(number: int, name: str) -> dict[str, Any]:
    return {"id": number + 1, "name": name, "supercategory": ""}


def _image(number: int, image: Labelled) -> dict[str, Any]:
    height, width = image.size
    return {"id": number, "file_name": image.place, "width": width, "height": height}


def _annotation(
    number: int,
    image: int,
    category: int,
    piece: Piece,
    drawn: list[list[int]] | dict[str, Any],
) -> dict[str, Any]:
    height, width = piece.inside.shape
    found = {
        "id": number,
        "image_id": image,
        "category_id": category + 1,
        "segmentation": drawn,
        "area": piece.area,
        "bbox": [piece.left, piece.top, width, height],
        "iscrowd": 0,
    }
    return found if piece.score is None else {**found, "score": round(piece.score, 4)}


def _segmentation(
    piece: Piece, size: tuple[int, int], options: ExportOptions
) -> list[list[int]] | dict[str, Any]:
    if options.drawn == MASKS:
        counts = coco_counts(piece.inside, piece.left, piece.top, size)
        return {"size": list(size), "counts": counts}
    return [one_ring([polygon]).ravel().tolist() for polygon in piece.polygons]
