"""Palettes of label maps that show the colours of other classes than their indices mean.

Whoever lets an image editor convert a colour mask to an indexed file gets a palette in an order of
the editor's: the colours are right, the indices are not. A palette that is merely another one (grey
or of another tool) says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hintseg.images.label_maps import palette
from hintseg.structures import ClassSet, LabelMap

CLOSE = 8  # grey levels by which an editor may change a colour
NEUTRAL = ((0, 0, 0), (255, 255, 255), (224, 224, 192), (224, 224, 224))  # void, or no entry


@dataclass(frozen=True, slots=True)
class PaletteFacts:
    """What the palette of one indexed label map shows for the classes that occur in it."""

    path: Path
    ours: bool  # nothing but colours of the classes
    swapped: tuple[int, int] | None  # an index, and the class whose colour it has


def palette_facts(
    path: Path, labels: LabelMap, colours: UInt8[np.ndarray, "256 3"], classes: int
) -> PaletteFacts:
    """Compare the colours of a file with those of the classes, which are VOC's."""
    known = palette(classes).astype(int)
    ours, swapped = True, None
    for index in np.unique(labels[(labels >= 0) & (labels < 256)]).tolist():
        colour = colours[index].astype(int)
        near = np.flatnonzero(np.abs(known - colour).max(axis=1) <= CLOSE).tolist()
        neutral = (np.abs(np.array(NEUTRAL) - colour).max(axis=1) <= CLOSE).any()
        if not near and not neutral:
            ours = False
        if near and index not in near and not neutral:
            swapped = swapped or (index, near[0])
    return PaletteFacts(path, ours, swapped)


def palette_remark(facts: Sequence[PaletteFacts], classes: ClassSet) -> tuple[Path, str] | None:
    """A file that stands for those with swapped colours, and what to say of it."""
    suspects = [each for each in facts if each.ours and each.swapped]
    if len(suspects) <= sum(not each.ours for each in facts):
        return None
    index, other = suspects[0].swapped or (0, 0)
    colour = palette(other + 1)[other].tolist()
    text = (
        f"its index {index} is {classes.names[index]!r}, but its palette gives it the colour "
        f"{colour} of class {other}, {classes.names[other]!r} ({len(suspects)} such files); if an "
        "image editor made it of a colour mask, classes have changed places: take the colour "
        "mask, and list its colours under colors: in dataset.yaml"
    )
    return suspects[0].path, text
