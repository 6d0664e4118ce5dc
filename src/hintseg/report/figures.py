"""Metrics as rows and cells of tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hintseg.metrics import Confusion, Metrics
from hintseg.report.page import percent
from hintseg.report.pictures import class_colours, css, data_uri
from hintseg.structures import ClassSet

MOST_IN_TABLE = 30  # classes; a larger matrix is a picture
MOST_MISTAKES = 15
RIGHT, WRONG = (37, 99, 168), (194, 65, 12)  # colours of the diagonal and of mistakes


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class in the table of IoU."""

    name: str
    colour: str
    iou: float | None  # percent; None: in neither truth nor prediction
    found: str  # share of its pixels that were found
    share: str  # of all pixels


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the confusion matrix."""

    text: str
    ground: str
    strong: bool  # dark ground: light text
    title: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """Pixels of one class that were taken for another."""

    truth: str
    predicted: str
    share: str  # of the pixels of the true class
    pixels: int


def class_rows(metrics: Metrics, classes: ClassSet) -> list[ClassRow]:
    """IoU and accuracy of every class, absent ones too."""
    true = metrics.confusion.sum(axis=1)
    whole = max(1, int(true.sum()))
    return [
        ClassRow(
            name=classes.names[index],
            colour=css(colour),
            iou=None if np.isnan(metrics.iou[index]) else float(100 * metrics.iou[index]),
            found=percent(float(metrics.accuracy[index])),
            share=percent(true[index] / whole),
        )
        for index, colour in enumerate(class_colours(classes))
    ]


def shares_of(confusion: Confusion) -> Float[np.ndarray, "classes columns"]:
    """Of the pixels of each true class, the share that got each label; 0 for an absent class."""
    shares: Float[np.ndarray, "classes columns"] = confusion / np.maximum(
        1, confusion.sum(axis=1, keepdims=True)
    )
    return shares


def column_names(confusion: Confusion, classes: ClassSet) -> list[str]:
    """The predicted classes, and "none" where a prediction left pixels without a class."""
    return [*classes.names, *(["none"] if confusion[:, -1].any() else [])]


def confusion_cells(confusion: Confusion, classes: ClassSet) -> list[list[Cell]]:
    """The matrix with rows of truth, in percent of the row."""
    names, shares = column_names(confusion, classes), shares_of(confusion)
    return [
        [
            _cell(float(shares[row, column]), row == column, f"{classes.names[row]} as {name}")
            for column, name in enumerate(names)
        ]
        for row in range(len(classes))
    ]


def _cell(share: float, right: bool, what: str) -> Cell:
    opacity = share**0.7  # so that small mistakes are seen
    red, green, blue = RIGHT if right else WRONG
    return Cell(
        text=f"{100 * share:.0f}" if share >= 0.005 else "",
        ground=f"rgba({red}, {green}, {blue}, {opacity:.3f})",
        strong=opacity > 0.55,
        title=f"{what}: {percent(share)}",
    )


def confusion_picture(confusion: Confusion, classes: ClassSet) -> str:
    """The matrix of many classes as a picture, with the colours of the cells."""
    shares = shares_of(confusion)[:, : len(column_names(confusion, classes))]
    right = np.eye(shares.shape[0], shares.shape[1])[..., None] > 0
    opacity = shares[..., None] ** 0.7
    colours = np.where(right, np.array(RIGHT), np.array(WRONG)) * opacity + 255 * (1 - opacity)
    factor = max(2, 720 // len(classes))
    pixels = colours.round().astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    return data_uri(pixels)


def mistakes(confusion: Confusion, classes: ClassSet) -> list[Mistake]:
    """The most frequent mistakes by number of pixels."""
    names, shares = column_names(confusion, classes), shares_of(confusion)
    wrong = confusion[:, : len(names)].copy()
    np.fill_diagonal(wrong, 0)
    order: Sequence[int] = np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES].tolist()
    pairs = [divmod(index, len(names)) for index in order]
    return [
        Mistake(
            classes.names[row],
            names[column],
            percent(float(shares[row, column])),
            int(wrong[row, column]),
        )
        for row, column in pairs
        if wrong[row, column]
    ]
