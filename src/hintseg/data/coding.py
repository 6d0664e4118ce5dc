"""The keys `values:` and `colors:` of dataset.yaml, which say what label maps hold."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from hintseg.errors import DataError, UnknownNameError
from hintseg.images.label_maps import NO_CLASS, Coding, Colour
from hintseg.structures import ClassSet

VOID_NAME = "void"  # for values and colours without a class, unless a class is called so
LARGEST_VALUE = 65535


def read_coding(values: Mapping[Any, Any], colors: Mapping[Any, Any], classes: ClassSet) -> Coding:
    """What the two keys say.

    Args:
        values: Value -> class name, or void.
        colors: Class name, or void -> [red, green, blue], or a list of such colours.
        classes: The classes of the data set.

    Raises:
        DataError: No class of such a name, a number out of range, or one colour for two classes.
    """
    by_value = {_value(value): _meaning(name, classes, "values") for value, name in values.items()}
    by_colour: dict[Colour, int] = {}
    for name, given in colors.items():
        meant = _meaning(name, classes, "colors")
        for colour in _colours(name, given):
            if by_colour.setdefault(colour, meant) != meant:
                other = _name(by_colour[colour], classes)
                raise DataError(
                    f"colors: {list(colour)} is given to {other!r} and to {name!r}; a colour can "
                    "mean one of them only"
                )
    return Coding(by_value, by_colour)


def value_names(coding: Coding, classes: ClassSet) -> dict[int, str]:
    """The key `values:` of a coding."""
    return {value: _name(meant, classes) for value, meant in coding.values.items()}


def colours_by_name(coding: Coding, classes: ClassSet) -> dict[str, list[list[int]]]:
    """The key `colors:` of a coding."""
    found: dict[str, list[list[int]]] = {}
    for colour, meant in coding.colours.items():
        found.setdefault(_name(meant, classes), []).append(list(colour))
    return found


def _name(meant: int, classes: ClassSet) -> str:
    return VOID_NAME if meant == NO_CLASS else classes.names[meant]


def _meaning(name: object, classes: ClassSet, key: str) -> int:
    """Class index or NO_CLASS."""
    if name is None or (name == VOID_NAME and VOID_NAME not in classes.names):
        return NO_CLASS
    if not isinstance(name, str):
        raise DataError(f"{key}: {name!r:.80} is no class name; put it in quotes if it is one")
    if name not in classes.names:
        raise DataError(f"{key}: {UnknownNameError('class', name, (*classes.names, VOID_NAME))}")
    return classes.index(name)


def _value(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_VALUE:
        return value
    raise DataError(
        f"values: {value!r:.80} is no value of a pixel; give whole numbers from 0 to "
        f"{LARGEST_VALUE}, such as values: {{0: CLASS, 255: void}}"
    )


def _colours(name: str, given: object) -> Iterator[Colour]:
    """The one colour or the several colours of a class."""
    parts = given if isinstance(given, list) and given else [None]
    for colour in parts if all(isinstance(part, list) for part in parts) else [given]:
        if not _is_colour(colour):
            raise DataError(
                f"colors: {name}: {colour!r:.80} is no colour; give [red, green, blue] with whole "
                "numbers from 0 to 255, or a list of such colours"
            )
        yield colour[0], colour[1], colour[2]


def _is_colour(colour: object) -> TypeGuard[list[int]]:
    return (
        isinstance(colour, list)
        and len(colour) == 3
        and all(type(part) is int and 0 <= part <= 255 for part in colour)
    )
