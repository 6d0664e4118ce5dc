"""What a training learns from, for the record of a run: hints, and all that goes beyond them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hintseg.data.coverage import count_hints
from hintseg.data.dataset import Dataset
from hintseg.methods.settings import TrainSettings

MOST_READ = 10_000  # hint files; of more only the number is recorded


@dataclass(frozen=True, slots=True)
class Supervision:
    """What the losses of a method see."""

    hinted: Sequence[str] = ()  # images whose hints are used
    beyond: Sequence[str] = ()  # in words: masks, and cues of other programs


def from_hints(dataset: Dataset, _: object) -> Supervision:
    """The hints of the train images, and nothing else."""
    return Supervision(dataset.hinted_names())


def masks_of(names: Iterable[str], dataset: Dataset, purpose: str) -> str:
    """How many of these images have masks that are used, and for what."""
    count = len(dataset.with_masks(tuple(names)))
    return f"dense masks of {count} images ({purpose})"


def recorded(
    seen: Supervision, judged: Sequence[str], dataset: Dataset, settings: TrainSettings
) -> Mapping[str, Any]:
    """What run.json says of it: `hints` by kind, `extra_supervision` in words.

    Args:
        seen: By the losses.
        judged: Validation images whose masks choose the best weights.
        dataset: Has the hint files.
        settings: Say which weights the training starts from.
    """
    beyond = list(seen.beyond)
    if judged:
        beyond.append(masks_of(judged, dataset, "validation: they choose the best step"))
    if settings.weights not in ("imagenet", "random"):
        beyond.append(f"weights of {settings.weights}")
    return {"hints": _counted(seen.hinted, dataset), "extra_supervision": beyond or "none"}


def _counted(names: Sequence[str], dataset: Dataset) -> dict[str, Any]:
    """Number of images with hints; of each kind, how many images have how many."""
    found: dict[str, Any] = {"images": len(names)}
    if len(names) > MOST_READ:
        return found
    images: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for name in names:
        kinds: Counter[str] = Counter()
        for (kind, _), count in count_hints(dataset.hints(name)).items():
            kinds[kind] += count
        images.update(kinds.keys())
        numbers.update(kinds)
    by_kind = {kind: {"images": images[kind], "hints": numbers[kind]} for kind in sorted(numbers)}
    return found | by_kind
