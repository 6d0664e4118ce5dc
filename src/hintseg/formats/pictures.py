"""Which file a source means by the name of an image, and what the image is called from then on."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hintseg.errors import DataError
from hintseg.images.files import (
    IMAGE_SUFFIXES,
    SYSTEM,
    is_hidden,
    is_image_name,
    without_ending,
)
from hintseg.images.names import composed

UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of a file
UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
LONGEST = 180  # letters of a part of a name


class Pictures:
    """The image files of some folders, found by what other tools call them."""

    def __init__(self, folders: Iterable[Path], maps: Collection[Path] = ()) -> None:
        """Look into the folders and all folders inside.

        Args:
            folders: Where images may lie; an image in two of them counts once.
            maps: Files that are label maps, no images.
        """
        self.folders = list(dict.fromkeys(path.resolve() for path in folders))
        files = (path for folder in self.folders for path in _images(folder, folder))
        self.files = [path for path in dict.fromkeys(files) if path not in maps]
        self._by_part: defaultdict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            for key in {_key(path.name), _key(path.stem)}:
                self._by_part[key].append(path)

    def find(self, text: str, also: Iterable[str] = ()) -> Path:
        """The file that is meant: a name, a path of any system, an address.

        Where there is none, those of `also` are tried.

        The file whose last folders are those of the text, with its ending before any other; then
        without the eight letters that Label Studio puts before names.

        Raises:
            DataError: There is none, or several with equal right.
        """
        found: list[Path] = []
        for name in (text, *also):
            found = found or self._candidates(parts_of(name))
        if not found:
            raise DataError("its image is in none of the folders; say where by --images")
        if len(found) > 1:
            raise DataError(
                "several images have this name, in different folders; name one folder by --images"
            )
        return found[0]

    def _candidates(self, parts: list[str]) -> list[Path]:
        found = self._nearest(parts) if parts else []
        if not found and parts and UPLOADED.match(parts[-1]):
            found = self._nearest([*parts[:-1], UPLOADED.sub("", parts[-1])])
        return found

    def _nearest(self, parts: list[str]) -> list[Path]:
        """The files that share most of the last parts; an exact ending counts more than any."""
        wanted = [_key(part) for part in parts]
        last, stem = wanted[-1], _key(without_ending(parts[-1]))
        candidates = self._by_part.get(last, []) + self._by_part.get(stem, [])
        if not candidates:
            return []
        scores = {path: _likeness(path, wanted, last) for path in dict.fromkeys(candidates)}
        best = max(scores.values())
        return [path for path, score in scores.items() if score == best]


def _likeness(path: Path, wanted: list[str], last: str) -> tuple[bool, int]:
    above = [_key(part) for part in path.parts[:-1]][::-1]
    shared = 0
    for mine, theirs in zip(above, wanted[-2::-1], strict=False):
        if mine != theirs:
            break
        shared += 1
    return _key(path.name) == last, shared


def parts_of(text: str) -> list[str]:
    """The folders and the file in a path of any system, or in an address."""
    text = text.strip()
    if "://" in text or text.startswith(("/data/", "data/")) or "?" in text:
        address = urlsplit(text)
        local = parse_qs(address.query).get("d")  # files that Label Studio serves from a disk
        text = unquote(local[0] if local else address.path or text)
    parts = text.replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".", "..")]


def name_for(parts: Iterable[str], taken: set[str]) -> str:
    """The name of an image in the data set: its path without ending, fit for any system.

    Args:
        parts: Folders and file, such as ("herd", "7.jpg").
        taken: Names of other images; this one is added.
    """
    *folders, last = parts
    stem = without_ending(last)
    ending = last[len(stem) + 1 :]
    whole = "/".join([*(_safe(part) for part in folders), _safe(stem)])
    choices = [whole, f"{whole}_{ending.lower()}"]
    number = 1
    while _key(choices[0]) in taken:
        choices = choices[1:] or [f"{whole}_{(number := number + 1)}"]
    taken.add(_key(choices[0]))
    return choices[0]


def _safe(part: str) -> str:
    clean = UNSAFE.sub("_", composed(part)).strip(" ").lstrip(".").rstrip(".")
    clean = clean.encode("utf-8", "replace").decode()[:LONGEST]
    if not clean or clean.lower() in SYSTEM or Path(clean).suffix.lower() in IMAGE_SUFFIXES:
        clean = f"{clean.replace('.', '_')}_"
    return clean


def _key(text: str) -> str:
    return composed(text).casefold()


def _images(folder: Path, top: Path) -> Iterable[Path]:
    """The image files of a folder and those inside; a link to a folder is not followed."""
    try:
        content = sorted(folder.iterdir())
    except OSError as error:
        if folder != top:
            return
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in content:
        if path.is_dir():
            if not (path.is_symlink() or is_hidden(path)):
                yield from _images(path, top)
        elif is_image_name(path) and path.is_file():
            yield path
