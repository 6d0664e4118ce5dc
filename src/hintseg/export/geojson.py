"""GeoJSON, one file for each image, with real holes; in pixels, as QuPath reads and writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hintseg.export.contours import Corners
from hintseg.export.json_lists import json_list
from hintseg.export.labelled import Add, ExportOptions, Labelled, Legend
from hintseg.export.pieces import Piece, Polygon
from hintseg.files import replacing


@contextmanager
def write_geojson(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """A feature collection for each image: x to the right, y down, from the corner of the image.

    Rings are closed, outer ones run against the holes (RFC 7946, 3.1.6).
    """
    del options  # polygons are all that the format has

    def add(image: Labelled) -> None:
        target = out / f"{image.name}.geojson"
        with replacing(target) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write('{"type":"FeatureCollection","features":')
            with json_list(file) as write:
                for piece in image.pieces:
                    write(_feature(piece, legend))
            file.write("}\n")

    yield add


def _feature(piece: Piece, legend: Legend) -> dict[str, Any]:
    parts = [_rings(polygon) for polygon in piece.polygons]
    one = len(parts) == 1
    known = {"name": legend.name(piece.label), "color": list(legend.colour(piece.label))}
    score = {} if piece.score is None else {"measurements": {"probability": round(piece.score, 4)}}
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": parts[0] if one else parts,
        },
        "properties": {"objectType": "annotation", "classification": known, **score},
    }


def _rings(polygon: Polygon) -> list[list[list[int]]]:
    return [_closed(ring) for ring in (polygon.outer, *polygon.holes)]


def _closed(ring: Corners) -> list[list[int]]:
    corners: list[list[int]] = ring.tolist()
    return [*corners, corners[0]]
