"""Which files are photographs, what they are called, and which are passed over and why."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import features

from hintseg.errors import DataError, MissingExtraError
from hintseg.images.names import composed
from hintseg.plain import has_control, one_line

JPEG2000 = (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf")
AVIF = (".avif",)
HEIC = (".heic", ".heif", ".hif")
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", *JPEG2000, *AVIF, *HEIC),
)
"""Endings of photographs; those of video, drawings, layers and raw sensors are not among them."""

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

NO_HEIC = str(MissingExtraError("pillow-heif", extra="heic", purpose="HEIC"))

COMPANIONS = (".txt", ".xml", ".csv", ".yaml", ".yml", ".md", ".html", ".log", ".db")
"""Text beside photographs is nobody's mistake, and is not mentioned."""
SYSTEM = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin")
WRITTEN_BY_HINTSEG = ("dataset.yaml", "run.json", "predict.json", "label.json")
_JSON = "JSON"
NAMED = 5  # files that a message lists before it says "and n more"


@dataclass(frozen=True)
class ImageFolder:
    """What a folder and its sub-folders hold."""

    images: Mapping[str, Path]  # name -> file, sorted by name
    doubles: Mapping[str, Sequence[Path]]  # name -> more files of it, which are not used
    unused: Mapping[str, Sequence[Path]]  # why, and the remedy -> files and folders passed over
    json_files: Sequence[Path]  # they may be hints

    def complaints(self) -> list[str]:
        """What was passed over, a line for each reason."""
        return [f"{listed(files)} not used: {why}" for why, files in self.unused.items()]


def scan_images(folder: Path, apart: Collection[Path] = ()) -> ImageFolder:
    """Find the photographs of a folder and its sub-folders.

    Of two files with one name the first is used, a PNG last: it may be a mask. Hidden files, those
    of the operating system and text are not mentioned.

    Args:
        folder: Where to look.
        apart: Folders inside it that are not looked into.

    Raises:
        OSError: No such folder, or it cannot be read.
    """
    unused: defaultdict[str, list[Path]] = defaultdict(list)
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    closed = frozenset(path.resolve() for path in apart)
    for path in _walk(folder, closed, (folder.resolve(),), unused):
        by_name[name_of(path, folder)].append(path)
    for files in (files for files in by_name.values() if len(files) > 1):
        files.sort(key=lambda path: (path.suffix.lower() == ".png", path))
    return ImageFolder(
        images={name: by_name[name][0] for name in sorted(by_name)},
        doubles={name: files[1:] for name, files in by_name.items() if len(files) > 1},
        json_files=unused.pop(_JSON, []),
        unused=unused,
    )


def name_of(path: Path, folder: Path) -> str:
    """The name of an image file in a folder of images."""
    whole, start = path.as_posix(), f"{folder.as_posix()}/"
    inner = whole[len(start) :] if whole.startswith(start) else path.relative_to(folder).as_posix()
    return composed(inner.removesuffix(path.suffix))


def is_image_name(path: Path) -> bool:
    """Whether a file is taken for a photograph, by its ending; hidden files are not."""
    return not is_hidden(path) and unreadable(path) is None


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden, or one that an operating system leaves everywhere."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM


def unreadable(path: Path) -> str | None:
    """Why a file cannot be a photograph, by its name, and the remedy; None if it can."""
    ending = path.suffix.lower()
    if ending in HEIC and not register_heic():
        return NO_HEIC
    if ending in AVIF and "avif" not in features.get_supported_modules():
        return "this Pillow reads no AVIF; pip install --upgrade pillow"
    if ending in JPEG2000 and not features.check_codec("jpg_2000"):
        return "this Pillow reads no JPEG 2000; convert to JPEG or PNG"
    if ending not in IMAGE_SUFFIXES:
        return f"{ending or 'no ending'} is no format that is read; convert to JPEG or PNG"
    return None


@cache
def register_heic() -> bool:
    """Teach Pillow HEIC, if pillow-heif (extra `heic`) is installed; whether it is."""
    try:
        from pillow_heif import register_heif_opener  # noqa: PLC0415 - an extra
    except ImportError:
        return False
    register_heif_opener()
    return True


def is_heic(path: Path) -> bool:
    """Whether a file begins as HEIC does, whatever its ending: telephones call them .jpg too."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS


def find_name(text: str, names: Container[str]) -> str | None:
    """The image that a person means: its name, its file, or a path to it of any system.

    The whole text comes first, then without ending (`img.v2.jpg` is `img.v2`), then with ever fewer
    leading folders. Of a pair of files, as in VOC's lists, the first is the image.

    Returns:
        One of `names`, or None.
    """
    first, *more = re.split(r"[\s,;]+", text.strip())
    pair = bool(more) and all(
        Path(word).suffix.lower() in IMAGE_SUFFIXES for word in (first, more[0])
    )
    for words in (text.strip(), first) if pair else (text.strip(),):
        whole = composed(words)
        if whole in names:
            return whole
        parts = [part for part in whole.replace("\\", "/").split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            path = "/".join(parts[start:])
            for candidate in (path, without_ending(path)):
                if candidate in names:
                    return candidate
    return None


def without_ending(name: str) -> str:
    """A name without the ending of a photograph, if it has one."""
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending.lower()}" in IMAGE_SUFFIXES else name


def no_image(folder: Path, found: ImageFolder, remedy: str) -> DataError:
    """The error for a folder without any photograph; says what else there is."""
    there = "; ".join(found.complaints())
    return DataError(f"{folder}: no image ({there or '.jpg, .png, .tif, ...'}); {remedy}")


def listed(files: Sequence[Path]) -> str:
    """'3 files (a.psd, b.psd, c.psd)', of many only the first."""
    shown = ", ".join(_printed(path) for path in files[:NAMED])
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return f"{len(files)} {'file' if len(files) == 1 else 'files'} ({shown}{more})"


def _passed_over(path: Path) -> str | None:
    """Why a file is not used; empty where nobody needs to know; None for a photograph."""
    if _printed(path) != path.name:
        return _misnamed(path)
    ending = path.suffix.lower()
    return _JSON if ending == ".json" else "" if ending in COMPANIONS else unreadable(path)


def _misnamed(path: Path) -> str:
    """Why a name cannot be one of an image."""
    try:
        os.fsencode(path.name).decode()
    except UnicodeDecodeError:
        return "the name is no Unicode; rename it"
    if has_control(path.name):
        return "the name holds control characters; rename it"
    return "the locale has no such letters; set LC_ALL=C.UTF-8"


def _printed(path: Path) -> str:
    """The name of a file as any console and page can show it, bytes that are no text included."""
    return one_line(path.name.encode("utf-8", "backslashreplace").decode())


def _walk(
    folder: Path,
    closed: frozenset[Path],
    above: tuple[Path, ...],
    unused: defaultdict[str, list[Path]],
) -> Iterator[Path]:
    """The photographs of a folder, then those of its sub-folders; notes what is passed over."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    inner = []
    for entry in found:
        path = folder / entry.name
        if is_hidden(path):
            continue
        why = _passed_over(path)
        if why is None:  # a folder of such a name is one of the mistakes that reading it tells
            yield path
        elif entry.is_dir():
            inner.append(path)
        elif why:
            unused[why].append(path)
    for path in inner:
        here = path.resolve()
        if _printed(path) != path.name:
            unused[_misnamed(path)].append(path)
            continue
        if here in closed or here in above:  # hints and masks; a link that leads back
            continue
        if any((path / file).exists() for file in WRITTEN_BY_HINTSEG):
            unused["a folder that hintseg wrote, or a data set of its own"].append(path)
            continue
        yield from _walk(path, closed, (*above, here), unused)
