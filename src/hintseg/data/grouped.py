"""A data set seen as one object class and everything else."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from hintseg.data.dataset import DATASET_FILE, Dataset
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.structures import ClassSet, Hints, LabelMap

ANY = "any"  # all classes but the background, taken together
OBJECT, REST = "foreground", "background"


@dataclass(frozen=True)
class GroupedDataset(Dataset):
    """Images, splits and files of `members`; its classes are taken together to two.

    `group[c]` is the class here of class c of `members`.
    """

    members: Dataset | None = None
    group: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        """That of the files, whatever is made of their classes."""
        return self._whole.digest

    @property
    def _whole(self) -> Dataset:
        assert self.members is not None, "made by `as_object` only"
        return self.members

    @property
    def member_names(self) -> tuple[str, ...]:
        """The classes that were taken together."""
        return self._whole.classes.names

    def hints(self, name: str) -> Hints:
        """As `Dataset.hints`; of boxes those alone that still say where all objects are.

        Boxes around what is no object here are left out. So are those around some of the objects,
        where another one may be outside of them: what they name stays as a tag.
        """
        hints = self._whole.hints(name)
        complete = self._boxed(hints)
        kept = [
            s for s in hints.shapes if s.kind != "box" or (complete and self._is_object(s.label))
        ]
        flags = {*hints.flags, *(s.label for s in hints.shapes if s not in kept)}
        partial = None if hints.partial is None else self._grouped(hints.partial)
        return replace(
            hints,
            shapes=tuple(replace(shape, label=self.group[shape.label]) for shape in kept),
            flags=frozenset(self.group[flag] for flag in flags),
            partial=partial,
        )

    def _boxed(self, hints: Hints) -> bool:
        """Whether boxes around some of the objects are around all of them."""
        objects = {c for c in range(len(self.group)) if self._is_object(c)}
        boxed = {shape.label for shape in hints.shapes if shape.kind == "box"}
        possible = objects & hints.tags if self.tags_complete else objects
        return not self.boxes_complete or possible <= boxed

    def _is_object(self, label: int) -> bool:
        """Whether a class of the members is one of the objects."""
        return self.group[label] != self.classes.background

    def truth(self, name: str) -> LabelMap | None:
        """As `Dataset.truth`."""
        truth = self._whole.truth(name)
        return None if truth is None else self._grouped(truth)

    def _grouped(self, labels: LabelMap) -> LabelMap:
        table: Int[np.ndarray, " classes"] = np.array(self.group, dtype=labels.dtype)
        return np.where(labels < 0, labels, table[np.maximum(labels, 0)])


def as_object(
    dataset: Dataset,
    foreground: str | None = None,
    *,
    classes: ClassSet | None = None,
    option: str = "foreground",
) -> Dataset:
    """The data set with two classes: a background and the objects.

    Args:
        dataset: Of any classes.
        foreground: What the objects are: "any" class but the background, or a class by name, all
            others being background; None: the one class beside the background.
        classes: What to call the two, the background first or second; None: by their names.
        option: What a user calls `foreground`, for messages.

    Returns:
        The data set itself, where it has just these two classes.

    Raises:
        ConfigError: There is no background, or more than one class beside it, and it is not said
            which ones are meant; UnknownNameError for a class that is none.
    """
    members = _members(dataset, foreground, option)
    wanted = classes or _two(dataset, foreground)
    index = 1 - (wanted.background or 0)
    group = tuple(index if c in members else 1 - index for c in range(len(dataset.classes)))
    if wanted == dataset.classes and group == (0, 1):
        return dataset
    known: dict[str, Any] = {field.name: getattr(dataset, field.name) for field in fields(Dataset)}
    return GroupedDataset(**{**known, "classes": wanted}, members=dataset, group=group)


def _members(dataset: Dataset, foreground: str | None, option: str) -> tuple[int, ...]:
    """The classes that are objects."""
    classes, file = dataset.classes, dataset.root / DATASET_FILE
    if foreground not in (None, ANY) or (foreground == ANY and ANY in classes.names):
        assert foreground is not None
        try:
            return (classes.index(foreground),)
        except UnknownNameError as error:
            raise ConfigError(f"{option}={foreground}: {error}, or any") from error
    if classes.background is None:
        raise ConfigError(
            f"{file}: no class is the background, so that nothing says what an object is; name it "
            f"under background:, or the class of the objects by {option}=NAME"
        )
    others = classes.foreground
    if not others:
        raise ConfigError(f"{file}: there is no class beside the background; add one")
    if foreground is None and len(others) > 1:
        raise ConfigError(
            f"{file}: {len(others)} classes beside the background; take them together by "
            f"{option}=any, or choose one by {option}=NAME"
        )
    return others


def _two(dataset: Dataset, foreground: str | None) -> ClassSet:
    """The data set's own classes where they are a background and the objects; else new ones."""
    classes = dataset.classes
    if classes.background is not None and len(classes) == 2 and foreground != _name_of(classes):
        return classes
    rest = REST if classes.background is None else classes.names[classes.background]
    named = OBJECT if foreground in (None, ANY) else str(foreground)
    return ClassSet((rest if rest != named else f"not {named}", named), background=0)


def _name_of(classes: ClassSet) -> str:
    """The background's name, which may be meant as an object too."""
    return "" if classes.background is None else classes.names[classes.background]
