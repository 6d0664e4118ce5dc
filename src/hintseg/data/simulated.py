"""A data set with dense masks -> the same data set with hints drawn from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hintseg.data.coding import colours_by_name, value_names
from hintseg.data.dataset import Dataset
from hintseg.data.writer import DatasetWriter, refuse_content
from hintseg.errors import ConfigError, DataError
from hintseg.files import appearing, relative_to
from hintseg.hints.simulate import HintKind, simulate_hints
from hintseg.progress import progress
from hintseg.structures import Hints

KINDS: tuple[HintKind, ...] = ("tags", "boxes", "points", "scribbles")


def simulate_dataset(
    dataset: Dataset,
    out: Path,
    *,
    kinds: Sequence[str],
    fraction: float = 1.0,
    mix: bool = False,
    seed: int = 0,
) -> int:
    """Write a data set that shares images and masks and has hints for the train split.

    It is complete or not there: `out` gets its name last.

    Args:
        dataset: With masks for its train split (all images, where it has no splits).
        out: Folder to write.
        kinds: What is drawn on every image; with `mix`, one of them at random per image.
        fraction: Share of every stroke that is kept; 0 makes it a point.
        mix: One kind per image instead of all.
        seed: Every image has its own generator, from the seed and its place in the split.

    Returns the number of images with hints.

    Raises:
        ConfigError: No or unknown kinds, or a fraction outside [0, 1].
        DataError: No masks, or `out` has content.
    """
    chosen = _checked_kinds(kinds)
    if not 0 <= fraction <= 1:
        raise ConfigError(f"--fraction: must lie between 0 and 1, got {fraction}")
    refuse_content(out)
    masked = [name for name in dataset.train_names() if dataset.has_mask(name)]
    if not masked:
        raise DataError(
            f"{dataset.masks_folder}: no mask for any train image; hints can be simulated from "
            "masks only"
        )
    with appearing(out) as folder, progress("simulate", len(masked)) as advance:
        writer = DatasetWriter(folder, dataset.classes)
        for index, name in enumerate(masked):
            rng = np.random.default_rng((seed, index))
            hints = _draw(dataset, name, chosen, fraction, mix=mix, rng=rng)
            writer.hints(name, hints, image=dataset.images[name], size=dataset.size(name))
            advance(name)
        writer.finish(
            dataset.splits,
            images=relative_to(dataset.images_folder, folder),
            masks=relative_to(dataset.masks_folder, folder),
            **dataset.stored.keys(),
            values=value_names(dataset.coding, dataset.classes),
            colors=colours_by_name(dataset.coding, dataset.classes),
        )
    return len(masked)


def _checked_kinds(kinds: Sequence[str]) -> list[HintKind]:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        named = repr(unknown[0]) if unknown else "nothing"
        raise ConfigError(f"--hints: {named} is no kind of hint; choose from {', '.join(KINDS)}")
    return [kind for kind in KINDS if kind in kinds]


def _draw(
    dataset: Dataset,
    name: str,
    kinds: Sequence[HintKind],
    fraction: float,
    *,
    mix: bool,
    rng: np.random.Generator,
) -> Hints:
    mask = dataset.checked_truth(name)
    chosen = [kinds[int(rng.integers(len(kinds)))]] if mix else kinds
    drawn = [
        simulate_hints(mask, dataset.classes, kind=k, fraction=fraction, rng=rng) for k in chosen
    ]
    return Hints(
        shapes=tuple(shape for hints in drawn for shape in hints.shapes),
        flags=frozenset[int]().union(*(hints.flags for hints in drawn)),
    )
