"""What a stage has learned from and what its network finds, side by side for a person."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hintseg.data.samples import Loader
from hintseg.images.grey import grey_picture
from hintseg.methods.contact_sheet import Row, drawn_hints, sheet_row, write_sheet
from hintseg.methods.job import Job
from hintseg.methods.ldf.labels import FIRST, SECOND, Finder, Maps
from hintseg.shares import evenly
from hintseg.structures import Sample

SHEET_IMAGES = 8


def write_maps_sheet(
    job: Job, folder: Path, names: Sequence[str], load: Loader, find: Finder, maps: Maps
) -> None:
    """`maps.png` in the folder of a stage: images, labels, maps learned from, maps found.

    `load` gives the samples of the training, `find` what the network of the stage finds in one.
    """
    masks = maps.settings.labels == "masks"
    rows = []
    for name in evenly(names, SHEET_IMAGES):
        seen = (job.masked if masks else job.hinted)(name, zoom=job.zoom)
        rows.append(_row(load(name), find(seen).numpy(), maps.names))
    write_sheet(folder / "maps.png", rows)


def _row(sample: Sample, found: Float[np.ndarray, "3 _ _"], names: tuple[str, str]) -> Row:
    """Maps that the stage did not learn from (hints have none) are left out."""
    learned = [
        (f"learned: {name}", grey_picture(sample.maps[which].values))
        for which, name in zip((FIRST, SECOND), names, strict=True)
        if which in sample.maps
    ]
    titles = (*names, "object")
    seen = [(f"found: {name}", grey_picture(m)) for name, m in zip(titles, found, strict=True)]
    return sheet_row(
        [(sample.name, sample.image), ("labels", drawn_hints(sample)), *learned, *seen]
    )
