"""The contact sheet of `hintseg check`: problems, counts, and the hints on their images."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hintseg.data.check.checking import CheckResult
from hintseg.data.check.image import ImageFacts
from hintseg.data.dataset import Dataset
from hintseg.errors import HintSegError
from hintseg.report.page import percent, write_page
from hintseg.report.pictures import (
    class_colours,
    css,
    data_uri,
    hint_picture,
    label_picture,
    shrunk,
)
from hintseg.shares import evenly
from hintseg.structures import Hints, Image

T = TypeVar("T")
MOST_PICTURES = 200
MOST_PROBLEMS = 500
SIDE = 300  # longer side of a thumbnail, in pixels
PLURAL = {"box": "boxes"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A class of one image, as its caption names it."""

    text: str
    colour: str
    tag: bool  # known to be somewhere in the image, not where


@dataclass(frozen=True, slots=True)
class Figure:
    """One image of the sheet."""

    name: str
    note: str
    picture: str | None
    chips: tuple[Chip, ...]


def write_check_page(result: CheckResult, path: Path) -> None:
    """Write what `check` found as one HTML file that holds its pictures."""
    shown = _candidates(result)
    chosen = evenly(shown, MOST_PICTURES)
    problems = result.problems[:MOST_PROBLEMS]
    write_page(
        path,
        "check.html.j2",
        name=result.root.resolve().name,
        root=str(result.root),
        cards=_cards(result),
        problems=[
            {"file": _within(problem.file, result.root), "text": problem.text}
            | {"severity": problem.severity}
            for problem in problems
        ],
        unlisted=len(result.problems) - len(problems),
        splits=result.splits,
        kinds=_kinds(result),
        classes=_classes(result),
        heading="Images and their hints" if result.hinted else "Images and their masks",
        chosen=f"{len(chosen)} of {len(shown)} images, evenly chosen"
        if len(chosen) < len(shown)
        else "",
        figures=[] if result.dataset is None else [_figure(result.dataset, f) for f in chosen],
    )


def _cards(result: CheckResult) -> list[dict[str, object]]:
    cards: list[dict[str, object]] = [
        {"value": len(result.errors), "label": "errors"},
        {"value": len(result.warnings), "label": "warnings"},
    ]
    if result.dataset is None:
        return cards
    cards += [
        {"value": len(result.images), "label": "images"},
        {"value": result.hinted, "label": "images with hints"},
        {"value": result.masked, "label": "images with a mask"},
        {
            "value": percent(result.labelled, 2),
            "label": "of a hinted image is labelled, on average",
        },
    ]
    if result.hinted:
        cards.append({"value": result.unhinted_train, "label": "train images without hints"})
    return cards


def _kinds(result: CheckResult) -> list[str]:
    """Kinds of hint that occur."""
    return [kind for kind, numbers in result.counts.items() if any(numbers)]


def _classes(result: CheckResult) -> list[dict[str, object]]:
    if result.dataset is None or not result.hinted:
        return []
    classes, counts = result.dataset.classes, result.counts
    return [
        {
            "name": classes.names[index],
            "colour": css(colour),
            "background": index == classes.background,
            "numbers": [counts[kind][index] for kind in _kinds(result)],
        }
        for index, colour in enumerate(class_colours(classes))
    ]


def _candidates(result: CheckResult) -> list[ImageFacts]:
    """Images with hints or with problems; those with masks where nobody gave a hint."""
    images = sorted(result.images, key=lambda facts: facts.name)
    if result.hinted:
        return [facts for facts in images if facts.hinted or facts.problems]
    return [facts for facts in images if facts.masked or facts.problems]


def _figure(dataset: Dataset, facts: ImageFacts) -> Figure:
    picture = _readable(lambda: _picture(dataset, facts))
    errors = sum(problem.severity == "error" for problem in facts.problems)
    note = f"{percent(facts.labelled, 2)} labelled" if facts.labelled else ""
    if errors:
        note = f"{errors} {'error' if errors == 1 else 'errors'}, see the table above"
    return Figure(
        name=facts.name,
        note=note,
        picture=None if picture is None else data_uri(picture),
        chips=_chips(dataset, facts),
    )


def _picture(dataset: Dataset, facts: ImageFacts) -> Image:
    image = dataset.image(facts.name)
    if facts.hinted:
        # A broken second hint file must not hide the picture.
        hints = _readable(lambda: dataset.hints(facts.name)) or Hints()
        return hint_picture(image, hints, dataset.classes, side=SIDE)
    truth = _readable(lambda: dataset.truth(facts.name))
    return shrunk(image, SIDE) if truth is None else label_picture(truth, image, side=SIDE)


def _readable(read: Callable[[], T]) -> T | None:
    """What `read` gives; None for a file that `check` has found broken."""
    with suppress(HintSegError, OSError, MemoryError):
        return read()
    return None


def _chips(dataset: Dataset, facts: ImageFacts) -> tuple[Chip, ...]:
    colours, names = class_colours(dataset.classes), dataset.classes.names
    by_class: dict[int, Counter[str]] = {}
    for (kind, label), number in sorted(facts.counts.items(), key=lambda item: item[0][1]):
        by_class.setdefault(label, Counter())[kind] += number
    chips = []
    for label, numbers in by_class.items():
        places = [_counted(kind, number) for kind, number in numbers.items() if kind != "tag"]
        text = f"{names[label]}: {', '.join(places)}" if places else f"{names[label]}: tag"
        chips.append(Chip(text, css(colours[label]), not places))
    return tuple(chips)


def _counted(kind: str, number: int) -> str:
    if kind == "mask":
        return "painted"
    return f"{number} {kind if number == 1 else PLURAL.get(kind, kind + 's')}"


def _within(file: str, root: Path) -> str:
    """A file as seen from the data set, where it lies in it."""
    return file.removeprefix(f"{root}/") or file
