"""What files are called: names in one form of Unicode, and the files of a folder by such names.

The name of an image is its path in the folder of images without the ending, with slashes and
composed (NFC): `cow`, `herd/cow`. A Mac decomposes names (NFD), everybody else composes them, and
cameras write `COW.PNG`. All of them find the same file here.
"""

import os
import time
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SETTLED = 2 * 10**9  # ns; a folder that changes again so soon may not show it in its time


def last_part(name: str) -> str:
    """A name without its folders, in small letters: what most people would recognise it by."""
    return name.rpartition("/")[2].casefold()


def composed(text: str) -> str:
    """A name in the one form of Unicode (NFC) in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


class NamedFiles:
    """The files of a folder and its sub-folders, found by name and ending when they are asked for.

    An exact name is one look at the disk. Only where there is none, the folder is listed (once, as
    long as it does not change), for the name in another form of Unicode or its ending in another
    case.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[Path, tuple[int, int, dict[str, Path]]] = {}

    def find(self, name: str, ending: str) -> Path | None:
        """The file NAME + ending (such as ".json"), a name with slashes in sub-folders."""
        path: Path | None = self.folder
        for part in f"{name}{ending}".split("/"):
            path = None if path is None else self._child(path, part)
        return path

    def having(
        self, names: Iterable[str], ending: str, *, but: Path | None = None
    ) -> set[str] | None:
        """The names that have a file, by one walk through the folder.

        For very many names, where a look at the disk for each would take minutes on a slow one.

        Args:
            names: Of images.
            ending: Of the files.
            but: A folder whose files are others' (photographs).

        Returns:
            None where looks are needed: a link among the files, or `but` in the folder.
        """
        there = _walked(self.folder, ending, but)
        return None if there is None else there.intersection(names)

    def path(self, name: str, ending: str) -> Path:
        """The same, or where it should be."""
        return self.find(name, ending) or self.folder / f"{name}{ending}"

    def _child(self, folder: Path, name: str) -> Path | None:
        exact = folder / name
        if exact.exists():
            return exact
        found = self._children(folder).get(_key(name))
        return found if found is not None and found.exists() else None

    def _children(self, folder: Path) -> dict[str, Path]:
        """The content of a folder by key; listed again when the folder has changed since."""
        try:
            changed = folder.stat().st_mtime_ns
            seen = self._listed.get(folder)
            if seen is not None and seen[0] == changed and not 0 <= seen[1] - changed <= SETTLED:
                return seen[2]
            now = time.time_ns()
            children = {_key(path.name): path for path in _sorted_down(folder)}
        except OSError:  # no such folder
            return {}
        self._listed[folder] = changed, now, children
        return children


def _sorted_down(folder: Path) -> list[Path]:
    """The content of a folder, the last name first."""
    return sorted(folder.iterdir(), key=lambda path: path.name, reverse=True)


def _walked(folder: Path, ending: str, but: Path | None) -> set[str] | None:
    """The names of the plain files of a folder; None with such links, or with the folder `but`."""
    found: set[str] = set()
    avoided = None if but is None else but.resolve()
    waiting = [(folder, "")]
    while waiting:
        here, prefix = waiting.pop()
        if avoided is not None and here.resolve() == avoided:
            return None
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    stem, dot, last = composed(entry.name).rpartition(".")
                    is_wanted = f"{dot}{last.lower()}" == ending
                    if entry.is_symlink() and (is_wanted or entry.is_dir()):
                        return None
                    if entry.is_dir():
                        waiting.append((here / entry.name, f"{prefix}{composed(entry.name)}/"))
                    elif is_wanted:
                        found.add(f"{prefix}{stem}")
        except OSError:  # no such folder
            continue
    return found


def sized_files(folder: Path) -> list[tuple[str, int]]:
    """The path in a folder and the size in bytes of each of its files, sorted; [] for no folder."""
    found = []
    for here, _, names in os.walk(folder):
        inner = Path(here).relative_to(folder).as_posix()
        for name in names:
            with suppress(OSError):  # a link to nowhere
                found.append((f"{inner}/{name}", os.stat(os.path.join(here, name)).st_size))
    return sorted(found)


def _key(name: str) -> str:
    """What names that mean the same file share."""
    stem, dot, ending = composed(name).rpartition(".")
    return f"{stem}{dot}{ending.lower()}" if dot else ending
