"""What files are called: names in one form of Unicode, and the files of a folder by such names.

The name of an image is its path in the folder of images without the ending, with slashes and
composed (NFC): `cow`, `herd/cow`. A Mac decomposes names (NFD), everybody else composes them, and
cameras write `COW.PNG`. All of them find the same file here.
"""

import time
import unicodedata
from pathlib import Path

SETTLED = 2 * 10**9  # ns; a folder that changes again so soon may not show it in its time


def last_part(name: str) -> str:
    """A name without its folders, in small letters: what most people would recognise it by."""
    return name.rpartition("/")[2].casefold()


def composed(text: str) -> str:
    """A name in the one form of Unicode (NFC) in which names are compared."""
    return unicodedata.normalize("NFC", text)


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
            children = {_key(path.name): path for path in sorted(folder.iterdir(), reverse=True)}
        except OSError:  # no such folder
            return {}
        self._listed[folder] = changed, now, children
        return children


def _key(name: str) -> str:
    """What names that mean the same file share."""
    stem, dot, ending = composed(name).rpartition(".")
    return f"{stem}{dot}{ending.lower()}" if dot else ending
