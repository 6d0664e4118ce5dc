"""What hints and masks cover: pixels and hints of each class, and what is odd about them.

The remarks serve `check`, `train` and `evaluate`, each before figures are made that mislead.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hintseg.data.coding import VOID_NAME
from hintseg.data.dataset import DATASET_FILE, Dataset
from hintseg.errors import DataWarning
from hintseg.progress import is_first_process
from hintseg.structures import ClassSet, Hints, LabelMap

HintCounts = Mapping[tuple[str, int], int]  # (kind, class) -> number

NAMED = 10  # classes that a message lists before it says "and n more"
LOOKED_AT = 10**8  # pixels of masks that a training looks at before it starts: some seconds
READ = 2000  # hint files that it reads at most
UNLABELLED_NAMES = {
    *("unlabelled", "unlabeled", "notlabelled", "notlabeled", "nolabel", "unannotated"),
    *("void", "ignore", "ignored", "unknown", "undefined", "unassigned", "none", "noclass"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Pixels of one label map or of several."""

    pixels: Int[np.ndarray, " classes"]  # of each class
    without: int  # that have none: UNLABELLED or VOID

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(self.pixels + other.pixels, self.without + other.without)

    @property
    def total(self) -> int:
        """Number of pixels."""
        return int(self.pixels.sum()) + self.without

    @property
    def share_without(self) -> float:
        """Share of the pixels without a class; 0 where there are no pixels."""
        return self.without / max(1, self.total)


def coverage_of(labels: LabelMap, classes: int) -> Coverage:
    """Count the pixels of a label map."""
    counts = np.bincount(np.maximum(labels, -1).ravel() + 1, minlength=classes + 1)
    return Coverage(counts[1:], int(counts[0]))


def total_coverage(parts: Iterable[Coverage], classes: int) -> Coverage:
    """The sum of several; no pixels at all where there are none."""
    return sum(parts, start=Coverage(np.zeros(classes, dtype=np.int64), 0))


def count_hints(hints: Hints) -> Counter[tuple[str, int]]:
    """How often each kind of hint says each class; a painted map counts once per class."""
    found: Counter[tuple[str, int]] = Counter()
    found.update((shape.kind, shape.label) for shape in hints.shapes)
    found.update(("tag", label) for label in hints.flags)
    if hints.partial is not None:
        painted = np.unique(hints.partial[hints.partial >= 0])
        found.update(("mask", int(label)) for label in painted)
    return found


def class_remarks(classes: ClassSet) -> list[str]:
    """What is odd about the list of classes itself."""
    if len(classes) == 1:
        name = classes.names[0]
        return [
            f"{name!r} is the only class, so a model can say nothing else; add a class for the "
            f"rest and name it as background, such as classes: [{name}, rest], background: rest"
        ]
    return [
        f"class {name!r} is learned like any other; if it stands for pixels without a class, take "
        f"it out of classes: and write {_values_without(index, classes)} in {DATASET_FILE}"
        for index, name in enumerate(classes.names)
        if index != classes.background and _plain(name) in UNLABELLED_NAMES
    ]


def mask_remarks(shown: Coverage, dataset: Dataset, where: str) -> list[str]:
    """What is odd about dense masks as a whole: absent classes, void nearly everywhere."""
    remarks = void_remarks(shown, dataset, where)
    if not shown.total or _is_black_and_white(shown, dataset):
        return remarks
    return absent_remarks(shown, dataset, where) + remarks


def absent_remarks(shown: Coverage, dataset: Dataset, where: str) -> list[str]:
    """Classes that no mask shows."""
    absent = _absent(shown, dataset)
    return [f"no mask of {where} shows {listed(absent)}"] if absent else []


def void_remarks(shown: Coverage, dataset: Dataset, where: str) -> list[str]:
    """Masks that are mostly void, or whose one class beside void leaves others to be meant."""
    names, share = dataset.classes.names, f"void covers {shown.share_without:.0%} of their pixels"
    if _is_black_and_white(shown, dataset):
        absent = _absent(shown, dataset)
        second = absent[0] if len(absent) == 1 else "CLASS"
        return [
            f"masks of {where} hold only the values 0 and 255, and 255 is void: none shows "
            f"{listed(absent)}, and {share}; if 255 is a class, write values: {{0: {names[0]}, "
            f"255: {second}}} in {DATASET_FILE}"
        ]
    if shown.share_without <= 0.5:
        return []
    return [
        f"masks of {where} say little: {share}; if those have a class, name it under values: "
        f"in {DATASET_FILE}"
    ]


def _absent(shown: Coverage, dataset: Dataset) -> list[str]:
    named = zip(dataset.classes.names, shown.pixels, strict=True)
    return [name for name, count in named if not count]


def _is_black_and_white(shown: Coverage, dataset: Dataset) -> bool:
    """Whether nothing but 0 and 255 occurs, where there are more classes than the first."""
    only_first = shown.pixels[0] and not shown.pixels[1:].any() and len(dataset.classes) > 1
    return bool(only_first and shown.without and not dataset.coding)


def hint_remarks(counts: HintCounts, classes: ClassSet, where: str) -> list[str]:
    """Classes without any hint; of a background, tags and boxes speak by what they leave out."""
    hinted: set[int | None] = {index for (_, index), number in counts.items() if number}
    if any(kind in ("tag", "box") for kind, _ in counts):
        hinted.add(classes.background)
    silent = [name for index, name in enumerate(classes.names) if index not in hinted]
    if not counts or not silent:
        return []
    return [f"no hint {where} for {listed(silent)}; give some or remove the class"]


def painted_remarks(painted: Coverage, dataset: Dataset) -> list[str]:
    """Painted hints that leave nothing unlabelled, and are mostly of the first class."""
    classes, share = dataset.classes, painted.pixels[0] / max(1, painted.total)
    first = classes.names[0]
    usual = classes.background == 0 or _plain(first) in UNLABELLED_NAMES | {"background"}
    if dataset.coding or painted.without or share <= 0.5 or len(classes) == 1 or usual:
        return []
    return [
        f"painted hints leave no pixel unlabelled, and {share:.0%} of their pixels are {first!r}, "
        f"the value 0; if 0 means unlabelled, write {_values_shifted(classes)} in {DATASET_FILE}"
    ]


def warn_of_masks(dataset: Dataset, names: Sequence[str]) -> None:
    """Say what is odd about the masks that a training learns from; looks at some if all is well."""
    if not is_first_process():
        return
    classes = len(dataset.classes)
    shown, looked = total_coverage((), classes), 0
    for name in names:
        shown += coverage_of(dataset.checked_truth(name), classes)
        looked += 1
        if shown.total > LOOKED_AT or (shown.pixels.all() and shown.share_without < 0.5):
            break
    where = "the train split" if looked == len(names) else f"the first {looked} train images"
    _warn(dataset, class_remarks(dataset.classes) + mask_remarks(shown, dataset, where))


def warn_of_hints(dataset: Dataset, names: Sequence[str]) -> None:
    """Say what is odd about the hints that a training learns from."""
    if not is_first_process():
        return
    counts: Counter[tuple[str, int]] = Counter()
    remarks: list[str] = []
    where = "of the train split" if len(names) <= READ else f"of the first {READ} train images"
    for name in names[:READ]:
        counts.update(count_hints(dataset.hints(name)))
        remarks = hint_remarks(counts, dataset.classes, where)
        if counts and not remarks:
            break
    _warn(dataset, class_remarks(dataset.classes) + remarks)


def listed(names: Sequence[str]) -> str:
    """Names in quotes, the first few of many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(repr(name) for name in names[:NAMED]) + more


def _warn(dataset: Dataset, remarks: Sequence[str]) -> None:
    file: Path = dataset.root / DATASET_FILE
    for remark in remarks:
        warnings.warn(f"{file}: {remark}", DataWarning, stacklevel=2)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalpha())


def _values_without(index: int, classes: ClassSet) -> str:
    """`values:` that take a class out of the game."""
    meant = [VOID_NAME if n == index else name for n, name in enumerate(classes.names)]
    return _values(meant)


def _values_shifted(classes: ClassSet) -> str:
    """`values:` of maps whose first class is 1."""
    return _values([VOID_NAME, *classes.names])


def _values(meant: Sequence[str]) -> str:
    shown = ", ".join(f"{value}: {name}" for value, name in enumerate(meant[:4]))
    return f"values: {{{shown}{', ...' if len(meant) > 4 else ''}}}"
