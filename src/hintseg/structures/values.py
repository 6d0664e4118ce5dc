"""Classes, images, label maps and hints: all that needs no more than NumPy."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from hintseg.errors import ConfigError, UnknownNameError
from hintseg.plain import has_control, is_text

UNLABELLED = -1
"""The pixel exists, its class is unknown; it takes part in self-supervised terms."""

VOID = -2
"""The pixel is dropped from everything: padding, or void in a dense mask."""

MOST_CLASSES = 2**15 - 1  # label maps are 16-bit integers

Image = UInt8[np.ndarray, "_ _ 3"]  # height, width; a function may see several sizes
LabelMap = Int[np.ndarray, "_ _"]
ShapeKind = Literal["point", "scribble", "box", "polygon", "mask"]


@dataclass(frozen=True)
class ClassSet:
    """The classes of a data set; the order is the class index.

    Raises:
        ConfigError: No class or too many, a blank name or one twice, a background that is no class.
    """

    names: tuple[str, ...]
    background: int | None = None  # index of the class of "everything else", if there is one

    def __post_init__(self) -> None:
        if not self.names:
            raise ConfigError("classes: at least one class is needed, got none")
        if len(self.names) > MOST_CLASSES:
            raise ConfigError(
                f"classes: at most {MOST_CLASSES} are possible, got {len(self.names)}"
            )
        if not all(name.strip() for name in self.names):
            raise ConfigError("classes: a name is blank; give each class a name")
        odd = next((name for name in self.names if has_control(name) or not is_text(name)), None)
        if odd is not None:
            raise ConfigError(f"classes: {odd!r:.80} holds a control character; take it out")
        twice = sorted(name for name, times in Counter(self.names).items() if times > 1)
        if twice:
            raise ConfigError(
                f"classes: {twice[0]!r:.80} is listed twice; give each class one name"
            )
        if self.background is not None and not 0 <= self.background < len(self.names):
            raise ConfigError(f"background: no class has index {self.background}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Index of a class by name; UnknownNameError with the nearest name otherwise."""
        if name not in self._index:
            raise UnknownNameError("class", name, self.names)
        return self._index[name]

    @property
    def foreground(self) -> tuple[int, ...]:
        """Indices of all classes but the background."""
        return tuple(index for index in range(len(self.names)) if index != self.background)


@dataclass(frozen=True, slots=True)
class Shape:
    """One thing drawn on an image: a point, scribble, box, polygon or bitmap of one class."""

    kind: ShapeKind
    label: int  # class index
    # (x, y) in pixels of the image; of a box two corners, of a mask its first and its last pixel
    points: tuple[tuple[float, float], ...]
    extra: Mapping[str, Any] = field(
        default_factory=dict, compare=False
    )  # foreign keys of its file
    bitmap: Bool[np.ndarray, "_ _"] | None = field(default=None, compare=False)  # of a mask


@dataclass(frozen=True, slots=True)
class Hints:
    """What a person gave for one image: shapes, tags, a partial label map, in any mix."""

    shapes: tuple[Shape, ...] = ()
    flags: frozenset[int] = frozenset()  # classes ticked as image tags
    partial: LabelMap | None = None  # class index or UNLABELLED, as large as the image
    extra: Mapping[str, Any] = field(
        default_factory=dict, compare=False
    )  # foreign keys of the file

    @property
    def tags(self) -> frozenset[int]:
        """Classes known to be in the image: ticked, drawn or painted."""
        painted = (
            () if self.partial is None else np.unique(self.partial[self.partial >= 0]).tolist()
        )
        return self.flags | {shape.label for shape in self.shapes} | set(painted)

    def __bool__(self) -> bool:
        return bool(self.shapes or self.flags or self.partial is not None)


@dataclass(frozen=True, slots=True)
class WeakLabels:
    """What training sees of the hints of one image."""

    labels: LabelMap  # class index, UNLABELLED or VOID
    tags: Bool[np.ndarray, " classes"]  # classes known to be present
    absent: Bool[np.ndarray, " classes"]  # classes known to be absent
    boxes: Float[np.ndarray, "boxes 5"]  # x0, y0, x1, y1 (outer edges of the pixels), class
    contested: int = 0  # pixels that two classes claimed; they are UNLABELLED


REGIONS = "regions"
"""Name of the map of region numbers."""


@dataclass(frozen=True, slots=True)
class ImageMap:
    """Values of the pixels of an image that are resized, cropped and mirrored with it."""

    values: Shaped[np.ndarray, "_ _"]
    resized: Literal["nearest", "linear"]  # numbers of things by nearest pixel, amounts linearly
    fill: int | float  # beyond the borders of the image


def region_map(numbers: LabelMap) -> ImageMap:
    """Numbers of the regions of an image; none (VOID) beyond its borders."""
    return ImageMap(numbers, "nearest", VOID)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with what is known of it, at the working resolution."""

    name: str
    image: Image
    weak: WeakLabels
    maps: Mapping[str, ImageMap] = field(default_factory=dict)  # what travels with it, by name
