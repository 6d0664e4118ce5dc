"""A data set with dense masks -> the same data set with hints drawn from them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hintseg.data.coding import colours_by_name, value_names
from hintseg.data.dataset import Dataset
from hintseg.data.writer import DatasetWriter, refuse_content
from hintseg.errors import ConfigError, DataError
from hintseg.files import appearing, relative_to
from hintseg.hints.simulate import HintKind, simulate_hints
from hintseg.progress import progress
from hintseg.structures import ClassSet, Hints

KINDS: tuple[HintKind, ...] = ("tags", "boxes", "points", "scribbles")


def simulate_dataset(
    dataset: Dataset,
    out: Path,
    *,
    kinds: Sequence[str],
    fraction: float = 1.0,
    mix: bool = False,
    wrong_tags: float = 0.0,
    seed: int = 0,
) -> int:
    """Write a data set that shares images and masks and has hints for the train split.

    It is complete or not there: `out` gets its name last.

    Args:
        dataset: With masks for its train split (all images, where it has no splits).
        out: Folder to write.
        kinds: What is drawn on every image; with `mix`, one of them at random per image.
            "points:10" draws them on every tenth image only.
        fraction: Share of every stroke that is kept; 0 makes it a point.
        mix: One kind per image instead of all.
        wrong_tags: Share of the images with tags of which one is a mistake: a class that is
            there is exchanged for one that is not.
        seed: Every image has its own generator, from the seed and its place in the split.

    Returns the number of images with hints.

    Raises:
        ConfigError: No or unknown kinds, or a share outside [0, 1].
        DataError: No masks, or `out` has content.
    """
    every = _checked_kinds(kinds)
    for option, share in {"--fraction": fraction, "--wrong-tags": wrong_tags}.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{option}: must lie between 0 and 1, got {share}")
    refuse_content(out)
    masked = [name for name in dataset.train_names() if dataset.has_mask(name)]
    if not masked:
        raise DataError(
            f"{dataset.masks_folder}: no mask for any train image; hints can be simulated from "
            "masks only"
        )
    drawn = 0
    with appearing(out) as folder, progress("simulate", len(masked)) as advance:
        writer = DatasetWriter(folder, dataset.classes)
        for index, name in enumerate(masked):
            chosen = [kind for kind, step in every.items() if index % step == 0]
            if chosen:
                rng = np.random.default_rng((seed, index))
                hints = _draw(dataset, name, chosen, fraction, mix=mix, rng=rng)
                mistakes = np.random.default_rng((seed, index, 1))
                hints = _mistaken(hints, dataset.classes, wrong_tags, mistakes)
                writer.hints(name, hints, image=dataset.images[name], size=dataset.size(name))
                drawn += 1
            advance(name)
        writer.finish(
            dataset.splits,
            images=relative_to(dataset.images_folder, folder),
            masks=relative_to(dataset.masks_folder, folder),
            **dataset.stored.keys(),
            values=value_names(dataset.coding, dataset.classes),
            colors=colours_by_name(dataset.coding, dataset.classes),
        )
    return drawn


def _checked_kinds(kinds: Sequence[str]) -> dict[HintKind, int]:
    """Each kind, and that it is drawn on every N-th image."""
    steps = {}
    for word in kinds:
        kind, _, step = word.partition(":")
        if kind not in KINDS:
            raise ConfigError(
                f"--hints: {kind!r} is no kind of hint; choose from {', '.join(KINDS)}"
            )
        if step and not (step.isdecimal() and int(step)):
            raise ConfigError(
                f"--hints: {word!r}: every how many images? Such as {kind}:10 for every tenth"
            )
        steps[kind] = int(step or 1)
    if not steps:
        raise ConfigError(f"--hints: nothing is no kind of hint; choose from {', '.join(KINDS)}")
    return {kind: steps[kind] for kind in KINDS if kind in steps}


def _mistaken(hints: Hints, classes: ClassSet, share: float, rng: np.random.Generator) -> Hints:
    """The hints, in a share of all images with one tag exchanged for a class that is not there."""
    absent = sorted(set(classes.foreground) - hints.tags)
    if not hints.flags or not absent or rng.random() >= share:
        return hints
    lost = sorted(hints.flags)[int(rng.integers(len(hints.flags)))]
    return replace(hints, flags=hints.flags - {lost} | {absent[int(rng.integers(len(absent)))]})


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
