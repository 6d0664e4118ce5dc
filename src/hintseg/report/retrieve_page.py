"""The page of `hintseg retrieve`: a segment, and those of other images that are like it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from hintseg.data.dataset import Dataset
from hintseg.predict.retrieval.similar import FoundSegment, Similar
from hintseg.predict.views import STRIDE
from hintseg.report.page import write_page
from hintseg.report.pictures import DARK, LIGHT, class_colours, css, data_uri
from hintseg.resize import fit_size, resize_image
from hintseg.structures import ClassSet, Image

SIDE = 300  # longer side of a crop, in pixels
ASKED_SIDE = 420  # of the pictures of the segment that was asked for
AROUND = 2.5  # a crop is this many times as large as its segment
LEAST = 0.6  # but at least this part of the shorter side of the image
DIMMED = 0.72  # brightness of what lies outside the segment
Window = tuple[int, int, int, int]  # top, bottom, left, right


@dataclass(frozen=True, slots=True)
class Named:
    """A class as a caption names it."""

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class Card:
    """One segment on the page."""

    name: str
    picture: str
    similarity: str
    predicted: Named
    truth: Named | None
    agrees: bool  # with the segment that was asked for, in the best that is known of both


def write_retrieve_page(
    path: Path, result: Similar, dataset: Dataset, classes: ClassSet, at: tuple[float, float]
) -> None:
    """Write what was found as one HTML file that holds its pictures.

    Args:
        path: The file.
        result: What was asked for and found.
        dataset: Where the images are.
        classes: Those of the model.
        at: (x, y) of the pixel that was asked about.
    """
    image = dataset.image(result.asked.name)
    write_page(
        path,
        "retrieve.html.j2",
        asked=_card(result.asked, result, dataset, classes, side=ASKED_SIDE),
        whole=data_uri(segment_picture(image, result.asked, _all(image), ASKED_SIDE, at)),
        at=f"{at[0]:g}, {at[1]:g}",
        root=str(dataset.root),
        cards=[_card(segment, result, dataset, classes) for segment in result.found],
        summary=_summary(result, dataset, classes),
        compared=f"{result.segments:,} segments of {result.images:,} other images",
        failed=sorted(result.failed.values()),
    )


def segment_picture(
    image: Image,
    segment: FoundSegment,
    window: Window,
    side: int,
    at: tuple[float, float] | None = None,
) -> Image:
    """A window of an image with the segment outlined and all else dimmed; a dot at the pixel.

    The longer side of the window is brought to `side`.
    """
    top, bottom, left, right = window
    height, width = fit_size(bottom - top, right - left, side)
    picture = resize_image(np.ascontiguousarray(image[top:bottom, left:right]), height, width)
    rows = top + (np.arange(height) + 0.5) * (bottom - top) / height
    columns = left + (np.arange(width) + 0.5) * (right - left) / width
    inside = _share_inside(segment, image, rows, columns) >= 0.5
    drawn = np.where(inside[..., None], picture, (DIMMED * picture).astype(np.uint8))
    drawn[_edge(inside, 2)], drawn[_edge(inside, 1)] = DARK, LIGHT
    if at is not None:
        distance = np.hypot(
            (rows[:, None] - at[1] - 0.5) * height / (bottom - top),
            (columns - at[0] - 0.5) * width / (right - left),
        )
        drawn[distance < 7], drawn[distance < 5.5] = DARK, LIGHT
        drawn[distance < 4] = (214, 39, 40)
    return drawn


def crop_window(image: Image, segment: FoundSegment) -> Window:
    """A square around a segment with some of what is about it, moved into the image."""
    height, width = image.shape[:2]
    row, column = np.nonzero(segment.inside)
    scale = height / segment.covered[0] * STRIDE, width / segment.covered[1] * STRIDE
    top, bottom = row.min() * scale[0], min((row.max() + 1) * scale[0], height)
    left, right = column.min() * scale[1], min((column.max() + 1) * scale[1], width)
    side = max(AROUND * max(bottom - top, right - left), LEAST * min(height, width), 8.0)
    return (
        *_placed((top + bottom) / 2, side, height),
        *_placed((left + right) / 2, side, width),
    )


def _placed(centre: float, side: float, size: int) -> tuple[int, int]:
    """First and end of a stretch around a centre, moved into the axis."""
    length = min(round(side), size)
    first = min(max(round(centre - length / 2), 0), size - length)
    return first, first + length


def _all(image: Image) -> Window:
    return 0, image.shape[0], 0, image.shape[1]


def _share_inside(
    segment: FoundSegment,
    image: Image,
    rows: Float[np.ndarray, " height"],
    columns: Float[np.ndarray, " width"],
) -> Float[np.ndarray, "height width"]:
    """How much of a segment is around places of the image, bilinear between centres of cells."""
    down = rows * segment.covered[0] / image.shape[0] / STRIDE - 0.5
    across = columns * segment.covered[1] / image.shape[1] / STRIDE - 0.5
    places = np.meshgrid(down, across, indexing="ij")
    share: np.ndarray = ndimage.map_coordinates(
        segment.inside.astype(np.float64), places, order=1, mode="nearest"
    )
    return share


def _edge(inside: Bool[np.ndarray, "height width"], pixels: int) -> np.ndarray:
    """A line along the border of a segment, so many pixels wide on either side of it."""
    grown = ndimage.binary_dilation(inside, iterations=pixels)
    edge: np.ndarray = grown & ~ndimage.binary_erosion(inside, iterations=pixels)
    return edge


def _card(
    segment: FoundSegment, result: Similar, dataset: Dataset, classes: ClassSet, side: int = SIDE
) -> Card:
    image = dataset.image(segment.name)
    return Card(
        name=segment.name,
        picture=data_uri(segment_picture(image, segment, crop_window(image, segment), side)),
        similarity=f"{segment.similarity:.3f}",
        predicted=_named(classes, segment.predicted),
        truth=None if segment.truth is None else _named(dataset.classes, segment.truth),
        agrees=_known(segment, dataset, classes) == _known(result.asked, dataset, classes),
    )


def _named(classes: ClassSet, label: int) -> Named:
    return Named(classes.names[label], css(class_colours(classes)[label]))


def _known(segment: FoundSegment, dataset: Dataset, classes: ClassSet) -> str:
    """Name of the true class, or of the predicted one where the truth is not known."""
    if segment.truth is not None:
        return dataset.classes.names[segment.truth]
    return classes.names[segment.predicted]


def _summary(result: Similar, dataset: Dataset, classes: ClassSet) -> list[dict[str, object]]:
    """How many of the found segments have each class, the most frequent first."""
    counts = Counter(_known(segment, dataset, classes) for segment in result.found)
    return [{"name": name, "count": count} for name, count in counts.most_common()]
