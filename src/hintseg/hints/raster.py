"""Hints -> weak labels: shapes are scaled as vectors and drawn at the working resolution.

Every shape is drawn as horizontal spans of pixels, computed for all its edges at once, so the cost
is that of the pixels it covers, however large the image.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hintseg.errors import DataError
from hintseg.hints.scanlines import polygon_pixels, stroke_pixels
from hintseg.hints.shapes import Size
from hintseg.resize import resize_labels
from hintseg.structures import UNLABELLED, ClassSet, Hints, LabelMap, Shape, WeakLabels


@dataclass(frozen=True, slots=True)
class Brush:
    """How wide hints are drawn, as fractions of the longer side of the image.

    By default as published for VOC: on a photograph of 500 pixels a point has a radius of 6 and a
    scribble a width of 3.
    """

    point_radius: float = 0.012
    scribble_width: float = 0.006


BRUSH = Brush()
THIN = Brush(0.0, 0.0)  # one pixel: what surely was meant
CONTESTED = -3  # only while drawing: claimed by two classes
ROUNDING = 1e-6  # of a pixel: an edge this near to a pixel's own is taken as the same

Boxes = Float[np.ndarray, "boxes 5"]


def rasterize(
    hints: Hints,
    size: Size,
    classes: ClassSet,
    *,
    out_size: Size | None = None,
    brush: Brush = BRUSH,
    tags_complete: bool = True,
    boxes_complete: bool = True,
) -> WeakLabels:
    """Draw the hints of one image as labels, tags and boxes at the working resolution.

    A point is a disc, a scribble a poly-line with round ends, a polygon its inside: a pixel belongs
    to it if its centre does. A mask is its pixels, scaled as painted labels are. However small, a
    point, scribble or polygon on the image keeps a pixel at least, and a scribble never breaks.
    What lies outside the image is cut off. A pixel that two classes claim is UNLABELLED and counted
    in `contested`.

    A box labels nothing inside. With `boxes_complete`, in a data set with a background, the pixels
    wholly outside all foreground boxes are background, as far as nobody claimed them; not so in an
    image where a foreground class is known to be present without any box.

    Args:
        hints: Shapes in pixels of the image that they were drawn on, origin at the centre of the
            top-left pixel.
        size: Height and width of that image.
        classes: The classes of the data set.
        out_size: Height and width of the result (default: `size`).
        brush: How wide points and scribbles are drawn.
        tags_complete: A foreground class without any hint, in an image with one, is absent.
        boxes_complete: Outside all boxes is background.

    Returns:
        Labels (int16), tags, absent classes (never the background), and boxes clipped to the image
        with x in [0, width] and y in [0, height] of the result: 0 is the outer edge of the first
        pixel, width that of the last.

    Raises:
        DataError: The partial label map is not as large as the image.

    Example:
        >>> from hintseg.structures import ClassSet, Hints, Shape
        >>> stroke = Shape("scribble", 1, ((0.0, 1.0), (3.0, 1.0)))
        >>> weak = rasterize(Hints((stroke,)), (3, 5), ClassSet(("grass", "cow")))
        >>> weak.labels
        array([[-1, -1, -1, -1, -1],
               [ 1,  1,  1,  1, -1],
               [-1, -1, -1, -1, -1]], dtype=int16)
    """
    out_size = out_size or size
    tags = hints.tags
    shapes = [_scaled(shape, size, out_size) for shape in hints.shapes if shape.kind != "mask"]
    labels = _painted(hints.partial, size, out_size)
    longer = max(out_size)
    for shape in shapes:
        _claim(
            labels,
            _pixels(shape, out_size, brush.point_radius * longer, brush.scribble_width * longer),
            shape.label,
        )
    for shape in hints.shapes:
        if shape.bitmap is not None:
            _claim(labels, _bitmap_pixels(shape, shape.bitmap, size, out_size), shape.label)
    boxes = _boxes(shapes, out_size)
    if boxes_complete:
        _fill_background(labels, boxes, tags, classes)
    contested = labels == CONTESTED
    labels[contested] = UNLABELLED
    return WeakLabels(
        labels=labels,
        tags=_chosen(tags, classes),
        absent=_absent(tags, classes, complete=tags_complete),
        boxes=boxes,
        contested=int(np.count_nonzero(contested)),
    )


def _scaled(shape: Shape, size: Size, out_size: Size) -> Shape:
    """The shape on the image at another size: (x + 0.5) * s - 0.5."""
    if size == out_size:
        return shape
    down, across = out_size[0] / size[0], out_size[1] / size[1]
    points = tuple(((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5) for x, y in shape.points)
    return Shape(shape.kind, shape.label, points)


def _painted(partial: LabelMap | None, size: Size, out_size: Size) -> LabelMap:
    if partial is None:
        return np.full(out_size, UNLABELLED, dtype=np.int16)
    if partial.shape != size:
        raise DataError(
            f"the partial label map is {partial.shape[1]} x {partial.shape[0]} pixels, the image "
            f"{size[1]} x {size[0]}; make them equally large"
        )
    labels: LabelMap = resize_labels(partial, *out_size).astype(np.int16)
    return labels  # a copy in any case: drawing changes it


def _pixels(shape: Shape, size: Size, radius: float, width: float) -> Int[np.ndarray, " pixels"]:
    """Flat indices of the pixels that a shape claims; some may come twice."""
    points = np.asarray(shape.points, dtype=np.float64)
    match shape.kind:
        case "point":
            return stroke_pixels(points, radius, size)
        case "scribble":
            return stroke_pixels(points, width / 2, size)
        case "polygon":
            return polygon_pixels(points, size)
        case _:  # a box labels nothing
            return np.empty(0, dtype=np.int64)


def _bitmap_pixels(
    shape: Shape, bitmap: Bool[np.ndarray, "_ _"], size: Size, out_size: Size
) -> Int[np.ndarray, " pixels"]:
    """Flat indices of the pixels of a bitmap, which is scaled as painted labels are."""
    painted = np.full(size, UNLABELLED, dtype=np.int16)
    left, top = (int(place) for place in shape.points[0])
    rows = slice(max(0, -top), max(0, size[0] - top))
    columns = slice(max(0, -left), max(0, size[1] - left))
    seen = bitmap[rows, columns]
    window = painted[max(0, top) :, max(0, left) :][: seen.shape[0], : seen.shape[1]]
    window[seen] = 0
    pixels: Int[np.ndarray, " pixels"] = np.flatnonzero(resize_labels(painted, *out_size) == 0)
    return pixels


def _claim(labels: LabelMap, pixels: Int[np.ndarray, " pixels"], label: int) -> None:
    flat = labels.reshape(-1)  # a view: both are contiguous
    before = flat[pixels]
    disputed = (before == CONTESTED) | ((before >= 0) & (before != label))
    flat[pixels] = np.where(disputed, CONTESTED, label)


def _boxes(shapes: list[Shape], size: Size) -> Boxes:
    """Boxes in the frame of pixel edges, clipped; those outside the image are dropped."""
    height, width = size
    drawn = [shape for shape in shapes if shape.kind == "box"]
    corners = np.array([shape.points for shape in drawn], dtype=np.float64).reshape(-1, 2, 2) + 0.5
    low = corners.min(axis=1).clip(0, (width, height))
    high = corners.max(axis=1).clip(0, (width, height))
    label = np.array([shape.label for shape in drawn], dtype=np.float64)[:, None]
    boxes: Boxes = np.hstack([low, high, label])[(high > low).all(axis=1)]
    return boxes


def _fill_background(
    labels: LabelMap, boxes: Boxes, tags: frozenset[int], classes: ClassSet
) -> None:
    """Label what lies outside all foreground boxes, if they are all there can be."""
    boxes = boxes[boxes[:, 4] != classes.background]
    boxed = {int(label) for label in boxes[:, 4]}
    if classes.background is None or not boxed or boxed != tags - {classes.background}:
        return
    outside = labels == UNLABELLED
    left, top = np.floor(boxes[:, :2] + ROUNDING).astype(int).T
    right, bottom = np.ceil(boxes[:, 2:4] - ROUNDING).astype(int).T
    for index in range(len(boxes)):
        outside[top[index] : bottom[index], left[index] : right[index]] = False
    labels[outside] = classes.background


def _chosen(indices: frozenset[int], classes: ClassSet) -> Bool[np.ndarray, " classes"]:
    chosen = np.zeros(len(classes), dtype=bool)
    chosen[list(indices)] = True
    return chosen


def _absent(
    tags: frozenset[int], classes: ClassSet, *, complete: bool
) -> Bool[np.ndarray, " classes"]:
    """Classes of which silence says that they are absent; never the background."""
    silent = frozenset(classes.foreground) - tags if complete and tags else frozenset()
    return _chosen(silent, classes)
