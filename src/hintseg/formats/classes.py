"""The classes of an import: what `--classes` says, what a source lists, what occurs in it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hintseg.documents.from_yaml import parse_yaml
from hintseg.errors import ConfigError, DataError
from hintseg.files import read_text
from hintseg.images.label_maps import Colour
from hintseg.images.names import composed
from hintseg.plain import without_control
from hintseg.structures import ClassSet

BACKGROUNDS = ("background", "_background_", "__background__")
"""Names by which other tools call the class of everything else."""

IGNORED = ("__ignore__",)  # LabelMe's name for what is none
COLOUR = re.compile(r"(\d{1,3})\s*[,\s]\s*(\d{1,3})\s*[,\s]\s*(\d{1,3})")


@dataclass(frozen=True)
class ClassList:
    """Classes in the order of their index, and what the source calls them.

    Example:
        >>> parse_classes("grass,cow=Kuh|bull").meaning
        {'grass': 'grass', 'cow': 'cow', 'Kuh': 'cow', 'bull': 'cow'}
    """

    names: tuple[str, ...]
    meaning: Mapping[str, str]  # name in the source -> name in the data set
    colours: Mapping[str, Colour] = field(default_factory=dict)  # of a file with colours
    renames: bool = False  # says of a class what the source calls it

    def meant(self, name: str) -> str | None:
        """The class of the data set; None where the list has no such one."""
        return self.meaning.get(named(name))


def parse_classes(text: str) -> ClassList:
    """What `--classes` says: names with commas between them, or a file.

    A file has a name on each line, or a name and a colour (`cow: 128,0,0`, `cow,128,0,0`, CVAT's
    labelmap.txt), or is a YAML file with `classes:` or `names:`. `cow=Kuh|bull` says that the
    source calls the class Kuh or bull.

    Raises:
        ConfigError: No class, or one of them twice.
        DataError: The file cannot be read.
    """
    path = Path(text)
    if "," not in text and path.is_file():
        return read_classes(path, str(path))
    if "," not in text and path.suffix.lower() in (".txt", ".csv", ".yaml", ".yml", ".names"):
        raise ConfigError(f"--classes {text}: no such file")
    return _class_list([item.strip() for item in text.split(",")], {}, "--classes")


def read_classes(path: Path, place: str) -> ClassList:
    """The classes in a file, as `parse_classes` reads it; DataError names it by `place`."""
    try:
        content = read_text(path)
        if path.suffix.lower() in (".yaml", ".yml"):
            return _class_list(names_in_yaml(parse_yaml(content), place), {}, place)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{place}: cannot be read as a list of classes ({reason})") from error
    names, colours = [], {}
    for line in content.splitlines():
        name, colour = _line(line)
        if name and name not in IGNORED:
            names.append(name)
            if colour is not None:
                colours[name] = colour
    return _class_list(names, colours, place)


def names_in_yaml(content: object, place: str) -> list[str]:
    """The list of a data set's file (`classes:`) or of YOLO's (`names:`, a list or a mapping)."""
    found = None
    if isinstance(content, Mapping):
        found = content.get("classes", content.get("names"))
    if isinstance(found, Mapping) and all(isinstance(key, int) for key in found):
        top = max(found, default=-1)
        if top >= 2**15:
            raise DataError(f"{place}: names: has a class of number {top}")
        found = [found.get(key, f"class {key}") for key in range(top + 1)]
    if not isinstance(found, list) or not found:
        raise DataError(f"{place}: lists no classes under classes: or names:")
    return [str(name) for name in found]


def settle(
    asked: ClassList | None, listed: Sequence[str], occurring: Iterable[str], place: str
) -> tuple[ClassSet, dict[str, int]]:
    """The classes of the data set, and the index of each name of the source.

    Args:
        asked: What `--classes` says; its order counts, and nothing else is taken.
        listed: What the source lists, in its order.
        occurring: What occurs in it.
        place: The source.

    Raises:
        DataError: There is none.
    """
    names = list(dict.fromkeys([*listed, *sorted(set(occurring) - {*listed})]))
    if asked is None:
        kept = {name: named(name) for name in names}
    else:
        meant = {name: asked.meant(name) for name in names}
        kept = {name: found for name, found in meant.items() if found is not None}
    order = asked.names if asked else tuple(dict.fromkeys(name for name in kept.values() if name))
    if not order:
        raise DataError(f"{place}: names no class, and holds nothing drawn; list them by --classes")
    index = {name: number for number, name in enumerate(order)}
    return class_set(order), {name: index[kept[name]] for name in kept if kept[name]}


def named(name: str) -> str:
    """What a class of a source is called here: composed, and without control characters."""
    return without_control(composed(name)).encode("utf-8", "replace").decode().strip()


def class_set(names: Sequence[str]) -> ClassSet:
    """The classes; one that is called background is the background."""
    found = [number for number, name in enumerate(names) if name.casefold() in BACKGROUNDS]
    return ClassSet(tuple(names), background=found[0] if found else None)


def _class_list(items: Sequence[str], colours: Mapping[str, Colour], place: str) -> ClassList:
    names: list[str] = []
    meaning: dict[str, str] = {}
    renames = False
    for item in items:
        name, renamed, others = (named(part) for part in item.partition("="))
        renames |= bool(renamed)
        if not name:
            raise ConfigError(f"{place}: a class has no name; write them as a,b,c")
        if name in names:
            raise ConfigError(f"{place}: {name!r:.80} is listed twice; give each class one name")
        names.append(name)
        for other in (name, *(part.strip() for part in others.split("|") if part.strip())):
            if meaning.setdefault(other, name) != name:
                first = meaning[other]
                raise ConfigError(
                    f"{place}: {other!r:.80} is said to be {first!r:.80} and {name!r:.80}"
                )
    if not names:
        raise ConfigError(f"{place}: lists no class")
    kept = {named(name): colour for name, colour in colours.items()}
    return ClassList(tuple(names), meaning, kept, renames)


def _line(line: str) -> tuple[str, Colour | None]:
    """The name and the colour on a line; no name on one that is blank or a comment."""
    text = line.strip()
    if not text or text.startswith("#"):
        return "", None
    found = COLOUR.search(text)
    if found is None:
        return text, None
    colour = (int(found[1]), int(found[2]), int(found[3]))
    before = text[: found.start()].strip().rstrip(",:;").strip()
    after = text[found.end() :].strip().lstrip(",:;").strip()
    name = before or after
    if max(colour) > 255 or not name:
        return ("" if not name and max(colour) <= 255 else text), None
    return name, colour
