"""Hints from a dense mask, as a person would have drawn them on the photograph.

A person tags what is seen, and boxes, clicks or strokes each connected piece of a class, without
crumbs. Pieces are 8-connected; void pixels belong to nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from hintseg.errors import ConfigError
from hintseg.hints.raster import BRUSH
from hintseg.hints.strokes import EIGHT, depth_of, draw_stroke, middle_piece
from hintseg.structures import ClassSet, Hints, LabelMap, Shape

HintKind = Literal["tags", "boxes", "points", "scribbles"]

CRUMB_PIXELS = 30
CRUMB_SHARE = 0.001  # of the image; the larger of both counts
CLICK_DEPTH = 0.7  # of the greatest depth: where a person would click


@dataclass(frozen=True, slots=True)
class _Component:
    """A connected piece of one class, in its own window of the image."""

    label: int
    left: int
    top: int
    inside: Bool[np.ndarray, "rows columns"]


def simulate_hints(
    mask: LabelMap,
    classes: ClassSet,
    *,
    kind: HintKind,
    fraction: float = 1.0,
    rng: np.random.Generator,
) -> Hints:
    """Hints of one kind, drawn from one dense mask.

    - tags: the foreground classes of the mask, whatever their size.
    - boxes: the tight box of each component of a foreground class.
    - points: one click well inside each component, also of the background.
    - scribbles: one smooth stroke through each component, also of the background, that follows its
      shape and keeps off its border.

    Components under 30 pixels or 0.1 % of the image are left out, unless their class has no other:
    then its largest counts.

    Args:
        mask: Dense truth; negative values are void.
        classes: The classes of the data set.
        kind: What to draw.
        fraction: Of the length of each scribble, its middle piece; 0 is a single point there. The
            same generator gives pieces of the same strokes, whatever the fraction.
        rng: Decides where clicks and strokes fall.

    Raises:
        ConfigError: A fraction outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from hintseg.structures import ClassSet
        >>> mask = np.zeros((40, 60), np.int16)
        >>> mask[10:30, 20:50] = 1
        >>> classes, rng = ClassSet(("grass", "cow")), np.random.default_rng(0)
        >>> hints = simulate_hints(mask, classes, kind="points", rng=rng)
        >>> [(shape.kind, classes[shape.label]) for shape in hints.shapes]
        [('point', 'grass'), ('point', 'cow')]
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"fraction: must be from 0 to 1, got {fraction}")
    if kind == "tags":
        present = {int(label) for label in np.unique(mask)}
        return Hints(flags=frozenset(present & set(classes.foreground)))
    if kind == "boxes":
        return Hints(tuple(_box(part) for part in _components(mask, classes.foreground)))
    parts = _components(mask, range(len(classes)))
    if kind == "points":
        return Hints(tuple(_click(part, rng) for part in parts))
    clearance = BRUSH.scribble_width * max(mask.shape) / 2 + 1
    return Hints(tuple(_scribble(part, clearance, fraction, rng) for part in parts))


def _components(mask: LabelMap, labels: range | tuple[int, ...]) -> Iterator[_Component]:
    crumb = max(CRUMB_PIXELS, CRUMB_SHARE * mask.size)
    present = {int(label) for label in np.unique(mask)}
    for label in sorted(present.intersection(labels)):
        parts, _ = ndimage.label(mask == label, structure=EIGHT)
        sizes = np.bincount(parts.ravel())[1:]
        windows = ndimage.find_objects(parts)
        for index in np.flatnonzero(sizes >= min(crumb, sizes.max())):
            rows, columns = windows[index]
            inside = parts[rows, columns] == index + 1
            yield _Component(label, columns.start, rows.start, inside)


def _box(part: _Component) -> Shape:
    rows, columns = part.inside.shape
    left, top = part.left - 0.5, part.top - 0.5
    return Shape("box", part.label, ((left, top), (left + columns, top + rows)))


def _click(part: _Component, rng: np.random.Generator) -> Shape:
    depth = depth_of(part.inside)
    rows, columns = np.nonzero(depth >= CLICK_DEPTH * depth.max())
    chosen = rng.integers(len(rows))
    point = float(part.left + columns[chosen]), float(part.top + rows[chosen])
    return Shape("point", part.label, (point,))


def _scribble(
    part: _Component, clearance: float, fraction: float, rng: np.random.Generator
) -> Shape:
    stroke = draw_stroke(depth_of(part.inside), clearance=clearance, rng=rng)
    if fraction < 1 and len(stroke) > 1:
        stroke = middle_piece(stroke, fraction)
    points = tuple((part.left + float(x), part.top + float(y)) for x, y in stroke)
    return Shape("point" if len(points) == 1 else "scribble", part.label, points)
