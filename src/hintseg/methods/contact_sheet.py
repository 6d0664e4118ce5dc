"""Contact sheets: pictures side by side, so that a person can see what a stage has made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage
from PIL import ImageDraw

from hintseg.images.label_maps import overlay, palette
from hintseg.images.photographs import write_png
from hintseg.resize import fit_size, resize_image
from hintseg.structures import Image, Sample

TITLE = 14  # pixels over each picture
SIDE = 400  # largest longer side of a picture, in pixels

Row = UInt8[np.ndarray, "_ _ 3"]


def sheet_row(pictures: Sequence[tuple[str, Image]]) -> Row:
    """Pictures of one size side by side, each under its title; large ones are shrunk."""
    return np.hstack([_titled(_shrunk(picture), title) for title, picture in pictures])


def write_sheet(path: Path, rows: Sequence[Row]) -> None:
    """One row under the other, padded to the widest; nothing without rows."""
    if not rows:
        return
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    write_png(path, PillowImage.fromarray(np.concatenate(padded)))


def drawn_hints(sample: Sample) -> Image:
    """An image under its labels, with the boxes of its classes."""
    canvas = PillowImage.fromarray(overlay(sample.image, sample.weak.labels))
    draw, colours = ImageDraw.Draw(canvas), palette(256)
    for x0, y0, x1, y1, label in sample.weak.boxes.tolist():
        colour = tuple(colours[int(label) % 256].tolist())
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=2)
    return np.array(canvas)


def label_row(known: Sample, labelled: Sample) -> Row:
    """An image, what is known of it, and its pseudo labels."""
    pictures = [
        (known.name, known.image),
        ("known", drawn_hints(known)),
        ("pseudo labels", overlay(labelled.image, labelled.weak.labels)),
    ]
    return sheet_row(pictures)


def _shrunk(picture: Image) -> Image:
    height, width = picture.shape[:2]
    if max(height, width) <= SIDE:
        return picture
    return resize_image(picture, *fit_size(height, width, SIDE))


def _titled(picture: Image, title: str) -> Image:
    canvas = PillowImage.new("RGB", (picture.shape[1] + 4, picture.shape[0] + TITLE + 4))
    canvas.paste(PillowImage.fromarray(picture), (0, TITLE))
    ImageDraw.Draw(canvas).text((2, 1), title, fill=(255, 255, 255))
    return np.array(canvas)
