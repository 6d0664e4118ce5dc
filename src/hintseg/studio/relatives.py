"""Similar places of a data set: what is like a region, where it lies, and hints from it."""

from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.errors import DataError
from hintseg.predict.kin import Kin, nearest_regions, region_vectors
from hintseg.predict.quick import Features
from hintseg.regions.partition import image_regions
from hintseg.studio.painted import cropped_entry
from hintseg.studio.pictures import Memory, Pictures, shrunken

SIDE = 320  # longer side at which images are cut here: places matter, not outlines
KEPT = 2**26  # bytes of region maps
TOP = 24


class Relatives:
    """Mean features of the regions of all images that were looked at."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._banks: dict[str, tuple[Any, Tensor]] = {}
        self._maps: Memory[Any, np.ndarray] = Memory(KEPT, lambda regions: regions.nbytes)

    @property
    def known(self) -> int:
        """Images that are compared."""
        return len(self._banks)

    def note(self, dataset: Dataset, name: str, state: object, features: Features) -> Tensor:
        """Remember an image; `state` tells whether it or the network has changed since."""
        known = self._banks.get(name)
        if known is None or known[0] != state:
            regions = torch.from_numpy(self.regions(dataset, name).astype(np.int64))
            known = state, region_vectors(features, regions).half()
            self._banks[name] = known
        return known[1]

    def find(
        self, dataset: Dataset, name: str, bank: Tensor, at: tuple[float, float]
    ) -> list[dict[str, Any]]:
        """The region under a pixel of an image, first, and those that are most like it."""
        region = self._region_at(dataset, name, at)
        banks = {
            other: vectors
            for other, (state, vectors) in self._banks.items()
            if other in dataset.images and state is not None and vectors.shape[1] == bank.shape[1]
        }
        found = nearest_regions(bank[region].float(), banks, TOP + 1)
        others = [kin for kin in found if (kin.name, kin.region) != (name, region)]
        asked = Kin(name, region, 1.0)
        return [self._told(dataset, kin) for kin in (asked, *others[:TOP])]

    def entry(self, dataset: Dataset, name: str, region: int, label: str) -> dict[str, Any]:
        """A region as a hint: its inside, for its outline may not be that of a thing.

        Raises:
            DataError: No such region.
        """
        regions = self.regions(dataset, name)
        inside = regions == region
        if not inside.any():
            raise DataError(f"{name}: no region {region} any more; ask for similar ones again")
        core = ndimage.binary_erosion(inside, iterations=2)
        inside = core if core.sum() >= inside.sum() / 4 else inside
        height, width = dataset.size(name)
        down = ((np.arange(height) + 0.5) * regions.shape[0] / height).astype(int)
        across = ((np.arange(width) + 0.5) * regions.shape[1] / width).astype(int)
        return cropped_entry(label, inside[down[:, None], across])

    def regions(self, dataset: Dataset, name: str) -> np.ndarray:
        """The regions of an image at `SIDE` pixels."""

        def cut() -> np.ndarray:
            small = shrunken(self._pictures.view(dataset, name), SIDE)
            return image_regions(small).astype(np.int16)

        return self._maps.get((name, dataset.images[name].stat().st_mtime_ns), cut)

    def _region_at(self, dataset: Dataset, name: str, at: tuple[float, float]) -> int:
        height, width = dataset.size(name)
        regions = self.regions(dataset, name)
        row = int((at[1] + 0.5) * regions.shape[0] / height)
        column = int((at[0] + 0.5) * regions.shape[1] / width)
        if not (0 <= row < regions.shape[0] and 0 <= column < regions.shape[1]):
            raise DataError(f"place {at[0]:g}, {at[1]:g}: outside the image")
        return int(regions[row, column])

    def _told(self, dataset: Dataset, kin: Kin) -> dict[str, Any]:
        """A place as shares of width and height: its box, and a pixel inside that is its middle."""
        inside = self.regions(dataset, kin.name) == kin.region
        rows, columns = np.nonzero(inside)
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        height, width = inside.shape
        return {
            "name": kin.name,
            "region": kin.region,
            "likeness": round(kin.likeness, 3),
            "x": (int(column) + 0.5) / width,
            "y": (int(row) + 0.5) / height,
            "left": int(columns.min()) / width,
            "top": int(rows.min()) / height,
            "right": (int(columns.max()) + 1) / width,
            "bottom": (int(rows.max()) + 1) / height,
        }
