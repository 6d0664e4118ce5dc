"""How long a person takes for the hints: published seconds, or the user's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hintseg.compare.choices import MASKS, HintChoice
from hintseg.data.dataset import Dataset
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.hints.simulate import simulate_hints
from hintseg.shares import evenly
from hintseg.structures import Hints

BEARMAN = "Bearman et al. 2016 (arXiv:1506.02106)"
RATES: Mapping[str, tuple[float, str, str]] = {
    "tag": (1.0, "to say of one class whether it is in the image", BEARMAN),
    "point": (2.4, "for the first click on a class of an image", BEARMAN),
    "more": (0.9, "for every further click on that class", BEARMAN),
    "scribble": (10.9, "for a stroke", BEARMAN),
    "box": (7.0, "for a box, by its extreme points", "Papadopoulos et al. 2017 (arXiv:1708.02750)"),
    "mask": (79.0, "for the outline of one object", "Lin et al. 2014 (COCO, arXiv:1405.0312)"),
}
"""Seconds by kind of work, what they are for, and who measured them."""

LOOKED_AT = 400  # train images, evenly spread, whose hints are counted


def checked_rates(given: Mapping[str, float]) -> dict[str, float]:
    """Published seconds, those given in their place.

    Raises:
        UnknownNameError: No such kind of work.
        ConfigError: Negative seconds.

    Example:
        >>> checked_rates({"box": 34.5})["box"]
        34.5
    """
    for kind, seconds in given.items():
        if kind not in RATES:
            raise UnknownNameError("kind of work in --seconds", kind, RATES)
        if not 0 <= seconds < float("inf"):
            raise ConfigError(f"--seconds {kind}={seconds}: must be 0 or more")
    return {kind: given.get(kind, rate) for kind, (rate, _, _) in RATES.items()}


def count_work(dataset: Dataset, hints: HintChoice) -> dict[str, float]:
    """What a person does for a train image, on average: numbers by kind of work.

    A person is asked of every class whether it is in the image, and draws what is; drawing
    a class answers that question. A mask is one outline for each connected piece.
    """
    if hints.name == MASKS:
        names = [name for name in dataset.train_names() if dataset.has_mask(name)]
    else:
        names = list(dataset.hinted_names())
    some = evenly(names, LOOKED_AT)
    counted = [_work_of(dataset, name, masks=hints.name == MASKS) for name in some]
    means = {kind: sum(work[kind] for work in counted) / max(1, len(counted)) for kind in RATES}
    return {**means, "images": float(len(names))}


def _work_of(dataset: Dataset, name: str, *, masks: bool) -> dict[str, int]:
    if not masks:
        return work_of_hints(dataset.hints(name), len(dataset.classes))
    truth = dataset.checked_truth(name)
    rng = np.random.default_rng(0)
    pieces = simulate_hints(truth, dataset.classes, kind="points", rng=rng).shapes
    shown = {shape.label for shape in pieces}
    nothing = dict.fromkeys(RATES, 0)
    return {**nothing, "mask": len(pieces), "tag": len(dataset.classes) - len(shown)}


def work_of_hints(hints: Hints, classes: int) -> dict[str, int]:
    """Numbers by kind of work in the hints of one image.

    Example:
        >>> from hintseg.structures import Hints, Shape
        >>> clicks = tuple(Shape("point", 0, ((x, 5.0),)) for x in (1.0, 9.0))
        >>> work = work_of_hints(Hints(clicks, frozenset([1])), classes=20)
        >>> work["tag"], work["point"], work["more"]
        (19, 1, 1)
    """
    kinds = [shape.kind for shape in hints.shapes]
    clicked = [shape.label for shape in hints.shapes if shape.kind == "point"]
    drawn = {shape.label for shape in hints.shapes}
    return {
        "tag": classes - len(drawn),
        "point": len(set(clicked)),
        "more": len(clicked) - len(set(clicked)),
        "scribble": kinds.count("scribble"),
        "box": kinds.count("box"),
        "mask": kinds.count("polygon") + kinds.count("mask") + int(hints.partial is not None),
    }


def seconds_of(work: Mapping[str, Any], rates: Mapping[str, float]) -> float:
    """Seconds for an image.

    Example:
        >>> voc = {"tag": 18.5, "point": 1.5}
        >>> round(seconds_of(voc, checked_rates({})), 1)  # as published for points on VOC
        22.1
    """
    return float(sum(rate * work.get(kind, 0.0) for kind, rate in rates.items()))


def rates_in_words(given: Mapping[str, float]) -> Sequence[tuple[str, float, str, str]]:
    """(kind, seconds, what for, source) of each rate, for the page."""
    return [
        (kind, given.get(kind, rate), what, "your own" if kind in given else source)
        for kind, (rate, what, source) in RATES.items()
    ]
