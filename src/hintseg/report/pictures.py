"""Hints drawn on their images, and pictures as text for a page that needs no other file."""

import base64
from io import BytesIO

import numpy as np
from jaxtyping import Bool
from PIL import Image as PillowImage
from PIL import ImageDraw

from hintseg.images.label_maps import colour_labels, overlay, palette
from hintseg.resize import fit_size, resize_image, resize_labels
from hintseg.structures import ClassSet, Hints, Image, LabelMap, Shape

Colour = tuple[int, int, int]
Drawn = list[tuple[float, float]]

STROKE = 3.0  # width of a stroke, in pixels of the picture
OUTLINE = 1.25  # width of its outline, on either side
POINT = 5.5  # radius of a point, with its outline
FILL = 70  # opacity of a polygon's inside, of 255
FINE = 3  # shapes are drawn this many times larger, then shrunk: smooth edges
FINE_UP_TO = 1200  # longer side, in pixels, up to which that is affordable
DARK, LIGHT = (20, 20, 20), (255, 255, 255)


def hint_picture(
    image: Image, hints: Hints, classes: ClassSet, *, side: int | None = None
) -> Image:
    """The image with its hints in the colours of their classes; tags are not drawn.

    Every stroke is 3 pixels wide with a thin outline, dark around light colours and light around
    dark ones, so that it is seen on any ground.

    Args:
        image: The photograph.
        hints: In its pixels.
        classes: The classes of the data set.
        side: Length to which the longer side is brought; None: as it is.
    """
    height, width = fit_size(image.shape[0], image.shape[1], side)
    ground = resize_image(image, height, width)
    if hints.partial is not None and hints.partial.shape == image.shape[:2]:
        ground = overlay(ground, resize_labels(hints.partial, height, width), opacity=0.6)
    if not hints.shapes:
        return ground
    factor = FINE if max(height, width) <= FINE_UP_TO else 1
    canvas = PillowImage.fromarray(ground.repeat(factor, axis=0).repeat(factor, axis=1))
    draw = ImageDraw.Draw(canvas, "RGBA")  # blends colours with an opacity
    scale = (width * factor / image.shape[1], height * factor / image.shape[0])
    colours = class_colours(classes)
    # Large areas first, so that no small shape is hidden.
    order = {"mask": 0, "polygon": 1, "box": 2, "scribble": 3, "point": 4}
    for shape in sorted(hints.shapes, key=lambda shape: order[shape.kind]):
        points = [((x + 0.5) * scale[0], (y + 0.5) * scale[1]) for x, y in shape.points]
        if shape.bitmap is not None:
            _fill(draw, shape.bitmap, points[0], scale, colours[shape.label])
            continue
        _draw(draw, shape, points, colours[shape.label], factor)
    return np.array(canvas.reduce(factor))


def label_picture(labels: LabelMap, image: Image | None = None, *, side: int) -> Image:
    """A label map in the colours of its classes, laid over its image if there is one."""
    height, width = fit_size(labels.shape[0], labels.shape[1], side)
    small = resize_labels(labels, height, width)
    if image is None:
        return colour_labels(small)
    return overlay(resize_image(image, height, width), small, opacity=0.7)


def shrunk(image: Image, side: int) -> Image:
    """The image with its longer side brought to `side`."""
    return resize_image(image, *fit_size(image.shape[0], image.shape[1], side))


def data_uri(image: Image) -> str:
    """A picture as the text of an `img` address."""
    buffer = BytesIO()
    PillowImage.fromarray(image).save(buffer, format="JPEG", quality=88, subsampling=0)  # crisp
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def class_colours(classes: ClassSet) -> list[Colour]:
    """Colour of each class, as in the palette of the label maps."""
    colours = palette(max(256, len(classes)))[: len(classes)]
    return [(int(red), int(green), int(blue)) for red, green, blue in colours]


def css(colour: Colour) -> str:
    """A colour as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def contrast(colour: Colour) -> Colour:
    """Dark or light, whichever stands out from a colour (its luma by ITU-R BT.601)."""
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return DARK if luma > 90 else LIGHT


def _draw(
    draw: ImageDraw.ImageDraw, shape: Shape, points: Drawn, colour: Colour, factor: int
) -> None:
    edge = contrast(colour)
    if shape.kind == "polygon":
        draw.polygon(points, fill=(*colour, FILL))
    if shape.kind == "point":
        _disc(draw, points[0], POINT * factor, edge)
        _disc(draw, points[0], (POINT - OUTLINE) * factor, colour)
        return
    path = _outline_of(shape, points)
    if shape.kind == "box":
        path = _kept_inside(path, draw.im.size, (STROKE / 2 + OUTLINE) * factor)
    _stroke(draw, path, (STROKE + 2 * OUTLINE) * factor, edge)
    _stroke(draw, path, STROKE * factor, colour)


def _fill(
    draw: ImageDraw.ImageDraw,
    bitmap: Bool[np.ndarray, "_ _"],
    first: tuple[float, float],
    scale: tuple[float, float],
    colour: Colour,
) -> None:
    """The pixels of a bitmap in a colour that lets the image through."""
    height, width = bitmap.shape
    size = max(1, round(width * scale[0])), max(1, round(height * scale[1]))
    opacity = PillowImage.fromarray(bitmap.astype(np.uint8) * (2 * FILL)).resize(size)
    place = round(first[0] - scale[0] / 2), round(first[1] - scale[1] / 2)
    draw.bitmap(place, opacity, fill=colour)


def _outline_of(shape: Shape, points: Drawn) -> Drawn:
    """The line to draw: closed for a polygon, around the corners of a box."""
    if shape.kind == "box":
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return points if shape.kind == "scribble" else [*points, points[0]]


def _kept_inside(points: Drawn, size: tuple[int, int], margin: float) -> Drawn:
    """Points moved inward, so that a box around the whole image is seen."""
    right, bottom = size[0] - margin, size[1] - margin
    return [(max(margin, min(x, right)), max(margin, min(y, bottom))) for x, y in points]


def _stroke(draw: ImageDraw.ImageDraw, points: Drawn, width: float, colour: Colour) -> None:
    """A line with round joints and ends."""
    draw.line(points, fill=colour, width=round(width))
    for point in points:
        _disc(draw, point, width / 2, colour)


def _disc(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, colour: Colour
) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
