"""Photographs as a browser shows them: small ones whole, large ones in tiles."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from PIL import Image as PillowImage

from hintseg.data.dataset import Dataset
from hintseg.data.stored import PHOTOGRAPHS
from hintseg.errors import DataError
from hintseg.images.photographs import read_small
from hintseg.resize import fit_size, resize_image
from hintseg.structures import Image

TILE = 512  # pixels
WHOLE = 2048  # longer side up to which an image is sent in one piece
THUMB = 96
VIEW = 640  # longer side of what the fast head sees
KEPT_PIXELS = 2**25  # of decoded photographs in memory, 100 MB; the last one in any case
QUALITY = 90

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """What was used last, up to a total size; each value is made once, by whoever asks first."""

    def __init__(self, most: int, size: Callable[[V], int]) -> None:
        self._most, self._size, self._lock = most, size, Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
        self._making: dict[K, Lock] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            value = make()
            with self._lock:
                self._values[key] = value
                self._making.pop(key, None)
                while len(self._values) > 1 and self._total() > self._most:
                    self._values.popitem(last=False)
            return value

    def peek(self, key: K) -> V | None:
        """The value of a key, None where it is not there."""
        with self._lock:
            return self._values.get(key)

    def _total(self) -> int:
        return sum(self._size(value) for value in self._values.values())


@dataclass(frozen=True, slots=True)
class Pyramid:
    """A photograph and its halves, down to one tile."""

    levels: tuple[Image, ...]

    @property
    def pixels(self) -> int:
        """Of all levels."""
        return sum(level.shape[0] * level.shape[1] for level in self.levels)


class Pictures:
    """Decodes and shrinks the photographs of a data set; keeps those that were used last."""

    def __init__(self) -> None:
        self._pyramids: Memory[tuple, Pyramid] = Memory(KEPT_PIXELS, lambda value: value.pixels)
        self._thumbs: Memory[tuple, bytes] = Memory(2**26, len)
        self._views: Memory[tuple, Image] = Memory(2**26, lambda view: view.nbytes)

    def whole(self, dataset: Dataset, name: str, side: int) -> bytes:
        """The image as JPEG, its longer side at most so many pixels; rows x columns never grow."""
        small = self._small_of(dataset, name, side)
        if small is not None:
            return jpeg(shrunken(small, side))
        levels = self._pyramid(dataset, name).levels
        height, width = levels[0].shape[:2]
        side = min(side, max(height, width))
        ample = [level for level in levels if max(level.shape[:2]) >= side] or [levels[0]]
        return jpeg(resize_image(ample[-1], *fit_size(height, width, side)))

    def view(self, dataset: Dataset, name: str) -> Image:
        """The image with its longer side at most `VIEW`: what models and regions look at.

        Photographs of many megapixels take seconds to read: they are read once for all of them.
        """

        def shrunk() -> Image:
            return shrunken(self._read(dataset, name, VIEW), VIEW)

        return self._views.get(_state(dataset, name), shrunk)

    def tile(self, dataset: Dataset, name: str, level: int, row: int, column: int) -> bytes:
        """A tile of 512 pixels of the image, halved `level` times.

        Raises:
            DataError: There is none.
        """
        levels = self._pyramid(dataset, name).levels
        if not (0 <= level < len(levels) and row >= 0 and column >= 0):
            raise DataError(f"{name}: no tile {level}/{row}/{column}")
        part = levels[level][row * TILE :, column * TILE :][:TILE, :TILE]
        if not part.size:
            raise DataError(f"{name}: no tile {level}/{row}/{column}")
        return jpeg(part)

    def crop(self, dataset: Dataset, name: str, box: tuple[float, float, float, float]) -> bytes:
        """A small picture of a place and what is around it.

        Args:
            dataset: That has the image.
            name: Of the image.
            box: Left, top, right and bottom as shares of width and height.
        """
        return self._thumbs.get(
            (*_state(dataset, name), box), lambda: jpeg(_around(dataset.image(name), box))
        )

    def thumb(self, dataset: Dataset, name: str) -> bytes:
        """A small picture for the list."""
        return self._thumbs.get(_state(dataset, name), lambda: self._small(dataset, name))

    def _small(self, dataset: Dataset, name: str) -> bytes:
        view = self._views.peek(_state(dataset, name))  # not kept: a list has hundreds
        return jpeg(shrunken(self._read(dataset, name, THUMB) if view is None else view, THUMB))

    def _read(self, dataset: Dataset, name: str, side: int) -> Image:
        """The image with a longer side of at least so many pixels, by the quickest way."""
        pyramid = self._pyramids.peek(_state(dataset, name))
        if pyramid is not None:
            ample = [level for level in pyramid.levels if max(level.shape[:2]) >= side]
            return ample[-1] if ample else pyramid.levels[0]
        small = self._small_of(dataset, name, side)
        return dataset.image(name) if small is None else small

    def _small_of(self, dataset: Dataset, name: str, side: int) -> Image | None:
        """A large image read at once so small that it is quick; None where that cannot be."""
        _state(dataset, name)  # refuses what is not there
        if dataset.stored != PHOTOGRAPHS or self._pyramids.peek(_state(dataset, name)) is not None:
            return None
        return read_small(dataset.images[name], side) if max(dataset.size(name)) > WHOLE else None

    def _pyramid(self, dataset: Dataset, name: str) -> Pyramid:
        return self._pyramids.get(_state(dataset, name), lambda: _halved(dataset.image(name)))


def shrunken(image: Image, longer_side: int) -> Image:
    """An image with its longer side at most so many pixels."""
    height, width = image.shape[:2]
    return resize_image(image, *fit_size(height, width, min(longer_side, max(height, width))))


def jpeg(image: Image) -> bytes:
    """An image as a browser reads it."""
    buffer = BytesIO()
    PillowImage.fromarray(image).save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


def _around(image: Image, box: tuple[float, float, float, float]) -> Image:
    """A square around a box, with half as much again of its surroundings, as far as there is."""
    height, width = image.shape[:2]
    left, right = sorted((box[0] * width, box[2] * width))
    top, bottom = sorted((box[1] * height, box[3] * height))
    reach = 0.75 * max(right - left, bottom - top, 16.0)
    x, y = (left + right) / 2, (top + bottom) / 2
    rows = slice(max(0, int(y - reach)), max(1, int(min(height, y + reach))))
    columns = slice(max(0, int(x - reach)), max(1, int(min(width, x + reach))))
    part = image[rows, columns] if image[rows, columns].size else image
    return shrunken(np.ascontiguousarray(part), THUMB)


def _halved(image: Image) -> Pyramid:
    levels = [image]
    while max(levels[-1].shape[:2]) > TILE:
        picture = PillowImage.fromarray(levels[-1])
        levels.append(np.array(picture.reduce(2)))
    return Pyramid(tuple(levels))


def _state(dataset: Dataset, name: str) -> tuple:
    """What changes when the file of an image does."""
    if name not in dataset.images:
        raise DataError(f"{name}: no such image in {dataset.root}; reload the list")
    path = dataset.images[name]
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"{path}: no such file any more; reload the list") from error
    return name, facts.st_mtime_ns, facts.st_size
