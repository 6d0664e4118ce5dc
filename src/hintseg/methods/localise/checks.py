"""Whether tags can teach where classes are, before anything is trained."""

import warnings
from collections import Counter
from itertools import permutations

import numpy as np

from hintseg.data.coverage import Coverage, listed
from hintseg.data.dataset import DATASET_FILE, Dataset
from hintseg.data.samples import load_weak
from hintseg.errors import DataError, DataWarning
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.progress import is_first_process
from hintseg.structures import ClassSet

EVERYWHERE = 0.95  # share of the images: a tag of more says nothing of a place
LEAST_SEEDED, LEAST_BACKGROUND = 0.01, 0.02  # shares below which seeds are in doubt
MOST_READ = 5000  # hint files
FEWEST = 8  # images; of fewer nothing is said


def check_seeding(dataset: Dataset, settings: LocaliseSettings) -> None:
    """There must be hints, and labelled pixels or what seeds are made of.

    Raises:
        DataError: No hints, or none that label a pixel where no seeds are made.
    """
    names = dataset.hinted_names()
    if not any(dataset.hints(name).tags for name in names):
        raise DataError(
            f"{dataset.hints_folder}: no hints for any train image; tick tags (docs/data.md) or "
            "make some with `hintseg simulate --hints tags`"
        )
    if settings.steps == 0 and not _labels_pixels(dataset):
        raise DataError(
            f"{dataset.hints_folder}: the hints label no pixel (tags and boxes only), and "
            "localise.steps=0 makes no seeds of them; leave the steps as they are"
        )
    known = known_tags(dataset)
    refuse_placeless(dataset, *known)
    warn_of_tags(dataset, *known)


def unplaced_classes(
    tags: list[frozenset[int]], shown: frozenset[int], classes: ClassSet
) -> tuple[list[int], list[tuple[int, int]]]:
    """Classes whose place no tag can tell, unless some hint shows it.

    Args:
        tags: Classes of each image with hints.
        shown: Classes that a shape or a painted pixel shows in some image.
        classes: Of the data set.

    Returns:
        Those in nearly all images; and pairs (class, other) where the first is never without the
        second, nor the second without the first.
    """
    if len(tags) < FEWEST:
        return [], []
    foreground = [c for c in classes.foreground if c not in shown]
    images = Counter(label for known in tags for label in known)
    everywhere = [c for c in foreground if images[c] > EVERYWHERE * len(tags)]
    together = Counter(pair for known in tags for pair in permutations(sorted(known), 2))
    twins = [
        (a, b)
        for a in foreground
        for b in foreground
        if a < b and images[a] and images[a] == images[b] == together[a, b]
    ]
    return everywhere, [pair for pair in twins if not set(pair) & set(everywhere)]


def placeless(dataset: Dataset) -> list[int]:
    """Classes in nearly all images of a data set that no hint shows: their maps say nothing."""
    return unplaced_classes(*known_tags(dataset), dataset.classes)[0]


def refuse_placeless(dataset: Dataset, tags: list[frozenset[int]], shown: frozenset[int]) -> None:
    """Where no hint shows a pixel, some class must be missing in some images.

    Raises:
        DataError: All classes that are tagged are in nearly all images.
    """
    named = {label for known in tags for label in known} & set(dataset.classes.foreground)
    everywhere = unplaced_classes(tags, shown, dataset.classes)[0]
    if named and named <= set(everywhere) and not _labels_pixels(dataset):
        raise DataError(
            f"{dataset.hints_folder}: nearly all images have the same tags, so nothing tells where "
            "a class is; draw a few clicks or boxes, or add images without some of the classes"
        )


def _labels_pixels(dataset: Dataset) -> bool:
    names = dataset.hinted_names()
    return any((load_weak(dataset, name, size=None).labels >= 0).any() for name in names)


def warn_of_tags(dataset: Dataset, tags: list[frozenset[int]], shown: frozenset[int]) -> None:
    """Name the classes whose place the tags cannot tell, with the remedy."""
    if not is_first_process():
        return
    everywhere, twins = unplaced_classes(tags, shown, dataset.classes)
    name, file = dataset.classes.names, dataset.root / DATASET_FILE
    remedy = "draw a few clicks or boxes on it in some images"
    if everywhere:
        warnings.warn(
            f"{file}: {listed([name[c] for c in everywhere])}: in nearly all images, so tags "
            f"cannot tell where; no seeds are made of such maps; {remedy}",
            DataWarning,
            stacklevel=2,
        )
    for a, b in twins[:3]:
        warnings.warn(
            f"{file}: {name[a]!r} and {name[b]!r} are always tagged together, so tags cannot tell "
            f"one from the other; {remedy}",
            DataWarning,
            stacklevel=2,
        )


def known_tags(dataset: Dataset) -> tuple[list[frozenset[int]], frozenset[int]]:
    """Classes of each image with hints; and those that a hint shows in some image.

    Of more than MOST_READ images evenly spread ones are read.
    """
    tags, shown = [], set()
    names = dataset.hinted_names()
    for image in names[:: max(1, -(-len(names) // MOST_READ))]:
        hints = dataset.hints(image)
        tags.append(frozenset(hints.tags))
        shown |= {shape.label for shape in hints.shapes}
        if hints.partial is not None:
            shown |= set(np.unique(hints.partial[hints.partial >= 0]).tolist())
    return tags, frozenset(shown)


def seed_doubts(seeds: Coverage, tagged: list[int], classes: ClassSet) -> list[str]:
    """What makes seeds implausible: nearly none, none of a class, hardly any background.

    Args:
        seeds: Pixels of each class, of all images with seeds.
        tagged: Classes that some of these images have.
        classes: Of the data set.
    """
    seeded = 1 - seeds.share_without
    doubts = [f"they cover {seeded:.1%} of the pixels"] if seeded < LEAST_SEEDED else []
    silent = [classes.names[c] for c in tagged if not seeds.pixels[c] and c != classes.background]
    if silent:
        doubts.append(f"none for {listed(silent)}")
    if classes.background is not None and seeds.total:
        share = seeds.pixels[classes.background] / max(1, seeds.pixels.sum())
        if share < LEAST_BACKGROUND:
            doubts.append(f"{share:.1%} of them are background")
    return doubts
