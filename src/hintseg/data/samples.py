"""One image with what is known of it, at the working resolution; and a memory for them."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Bool

from hintseg.data.dataset import Dataset
from hintseg.errors import RunError
from hintseg.hints.raster import BRUSH, Brush, rasterize
from hintseg.images.label_maps import read_label_map
from hintseg.regions.growing import grow_labels
from hintseg.resize import fit_size, resize_image, resize_labels, resize_map_window
from hintseg.structures import (
    REGIONS,
    UNLABELLED,
    VOID,
    Image,
    LabelMap,
    Sample,
    WeakLabels,
    region_map,
)

Loader = Callable[[str], Sample]
GROWN_PIXELS = 2**17  # of the image on which hints grow: half a second


def load_hinted(
    dataset: Dataset,
    name: str,
    *,
    size: int | None,
    zoom: float = 1.0,
    brush: Brush = BRUSH,
) -> Sample:
    """An image with its hints as weak labels; the longer side brought to `zoom` x `size`."""
    weak = load_weak(dataset, name, size=size, zoom=zoom, brush=brush)
    return Sample(name, resize_image(dataset.image(name), *weak.labels.shape), weak)


def load_weak(
    dataset: Dataset,
    name: str,
    *,
    size: int | None,
    zoom: float = 1.0,
    brush: Brush = BRUSH,
) -> WeakLabels:
    """The hints of an image as weak labels at the working resolution; reads no photograph."""
    height, width = dataset.size(name)
    return rasterize(
        dataset.hints(name),
        (height, width),
        dataset.classes,
        out_size=fit_size(height, width, size, zoom=zoom),
        brush=brush,
        tags_complete=dataset.tags_complete,
        boxes_complete=dataset.boxes_complete,
    )


def load_masked(dataset: Dataset, name: str, *, size: int | None, zoom: float = 1.0) -> Sample:
    """An image with its dense mask as labels; the longer side brought to `zoom` x `size`."""
    image, truth = dataset.image(name), dataset.checked_truth(name)
    height, width = truth.shape
    out = fit_size(height, width, size, zoom=zoom)
    labels = resize_labels(truth, *out)
    tags = np.zeros(len(dataset.classes), dtype=bool)
    tags[np.unique(truth[truth >= 0])] = True
    weak = WeakLabels(labels=labels, tags=tags, absent=~tags, boxes=np.zeros((0, 5)))
    return Sample(name, resize_image(image, *out), weak)


def with_regions(load: Loader, regions: Callable[[str], LabelMap]) -> Loader:
    """The same samples with the regions of their images, brought to the working resolution."""

    def get(name: str) -> Sample:
        sample, found = load(name), region_map(regions(name))
        height, width = sample.image.shape[:2]
        sized = resize_map_window(found, height, width, rows=(0, height), columns=(0, width))
        return replace(sample, maps={**sample.maps, REGIONS: sized})

    return get


def with_grown_labels(load: Loader, core: Callable[[str], WeakLabels]) -> Loader:
    """The same samples, their hints grown over what looks like them (`regions.grow_labels`).

    `core` gives the hints of an image drawn as thin as possible, at the same size. The border of a
    box is one of regions: what is outside says nothing of the inside.
    """

    def get(name: str) -> Sample:
        sample, thin = load(name), core(name)
        regions = 2 * sample.maps[REGIONS].values + _inside_boxes(sample.weak)
        labels = _grown(sample.image, thin.labels, sample.weak.labels, regions)
        return replace(sample, weak=replace(sample.weak, labels=labels))

    return get


def _grown(image: Image, core: LabelMap, drawn: LabelMap, regions: LabelMap) -> LabelMap:
    """`grow_labels`; on an image of more than GROWN_PIXELS as on the shrunken one."""
    height, width = image.shape[:2]
    factor = math.sqrt(GROWN_PIXELS / (height * width))
    if factor >= 1:
        return grow_labels(image, core, drawn, regions)
    small = fit_size(height, width, None, zoom=factor)
    rows, columns = (0, small[0]), (0, small[1])
    grown = grow_labels(
        resize_image(image, *small),
        resize_labels(core, *small),
        resize_labels(drawn, *small),
        resize_map_window(region_map(regions), *small, rows=rows, columns=columns).values,
    )
    large = np.maximum(resize_labels(grown, height, width), UNLABELLED)
    known = np.where(core >= 0, core, large)
    return np.where(drawn == VOID, VOID, known).astype(drawn.dtype)


def _inside_boxes(weak: WeakLabels) -> Bool[np.ndarray, "h w"]:
    inside = np.zeros(weak.labels.shape, dtype=bool)
    for left, top, right, bottom in weak.boxes[:, :4].round().astype(int):
        inside[top:bottom, left:right] = True
    return inside


def with_labels(load: Loader, folder: Path, *, classes: int) -> Loader:
    """The same samples with the pseudo labels of a folder for their own labels.

    The loader raises RunError for a sample without: hints never take their place unnoticed.
    """

    def get(name: str) -> Sample:
        sample, path = load(name), folder / f"{name}.png"
        if not path.exists():
            raise RunError(
                f"{path}: no such pseudo labels; delete the folder {folder.parent} and continue "
                "with --resume to have them made again"
            )
        labels = read_label_map(path, classes=classes, undeclared=UNLABELLED)
        labels = resize_labels(labels, *sample.weak.labels.shape)
        return replace(sample, weak=replace(sample.weak, labels=labels))

    return get


def remembered(load: Loader, *, budget: int = 2**30) -> Loader:
    """The same loader, keeping samples in memory until `budget` bytes are used."""
    kept: dict[str, Sample] = {}
    used, lock = 0, Lock()

    def get(name: str) -> Sample:
        nonlocal used
        if name in kept:
            return kept[name]
        sample = load(name)
        maps = sum(travelling.values.nbytes for travelling in sample.maps.values())
        cost = sample.image.nbytes + sample.weak.labels.nbytes + maps
        with lock:  # two threads may have loaded the same one
            if name not in kept and used + cost <= budget:
                used += cost
                kept[name] = sample
        return sample

    return get
