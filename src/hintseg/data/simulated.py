"""A data set with dense masks -> the same data set with hints drawn from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hintseg.data.coding import colours_by_name, value_names
from hintseg.data.dataset import DATASET_FILE, Dataset, DatasetFile, dump_settings
from hintseg.errors import ConfigError, DataError
from hintseg.files import relative_to, write_text
from hintseg.hints.labelme import write_labelme
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
    _check_options(fraction, out)
    masked = [name for name in dataset.train_names() if dataset.has_mask(name)]
    if not masked:
        raise DataError(
            f"{dataset.masks_folder}: no mask for any train image; hints can be simulated from "
            "masks only"
        )
    with progress("simulate", len(masked)) as advance:
        for index, name in enumerate(masked):
            rng = np.random.default_rng((seed, index))
            hints = _draw(dataset, name, chosen, fraction, mix=mix, rng=rng)
            _write(dataset, name, hints, out)
            advance(name)
    _write_settings(dataset, out)
    return len(masked)


def _checked_kinds(kinds: Sequence[str]) -> list[HintKind]:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        named = repr(unknown[0]) if unknown else "nothing"
        raise ConfigError(f"--hints: {named} is no kind of hint; choose from {', '.join(KINDS)}")
    return [kind for kind in KINDS if kind in kinds]


def _check_options(fraction: float, out: Path) -> None:
    if not 0 <= fraction <= 1:
        raise ConfigError(f"--fraction: must lie between 0 and 1, got {fraction}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists already; choose another --out or delete it")


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


def _write(dataset: Dataset, name: str, hints: Hints, out: Path) -> None:
    file = out / "hints" / f"{name}.json"
    write_labelme(
        file,
        hints,
        dataset.classes,
        image_path=relative_to(dataset.images[name], file.parent),
        size=dataset.size(name),
    )


def _write_settings(dataset: Dataset, out: Path) -> None:
    for split, names in dataset.splits.items():
        write_text(out / "splits" / f"{split}.txt", "\n".join(names) + "\n")
    background = dataset.classes.background
    dump_settings(
        out / DATASET_FILE,
        DatasetFile(
            classes=list(dataset.classes.names),
            background=None if background is None else dataset.classes.names[background],
            images=relative_to(dataset.images_folder, out),
            masks=relative_to(dataset.masks_folder, out),
            splits={split: f"splits/{split}.txt" for split in dataset.splits},
            **dataset.stored.keys(),
            values=value_names(dataset.coding, dataset.classes),
            colors=colours_by_name(dataset.coding, dataset.classes),
        ),
    )
