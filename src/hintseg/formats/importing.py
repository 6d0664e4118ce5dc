"""A source of another tool -> a data set folder for which `hintseg check` finds no error."""

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Literal, cast

import numpy as np

from hintseg.cores import usable_cores
from hintseg.data.coverage import HintCounts, count_hints
from hintseg.data.writer import DatasetWriter, refuse_content
from hintseg.errors import DataError, UnknownNameError
from hintseg.files import appearing, replacing, write_json
from hintseg.formats.archives import unpacked
from hintseg.formats.classes import parse_classes, settle
from hintseg.formats.fitting import Canvas, fit_map, fit_shapes, fit_tags
from hintseg.formats.found import Found, Numbers, Reader, Request, Source
from hintseg.formats.journal import Journal
from hintseg.formats.pictures import Pictures, name_for, parts_of
from hintseg.formats.selecting import only
from hintseg.hints.labelme import write_labelme
from hintseg.hints.shapes import overdrawn
from hintseg.images.label_maps import write_label_map
from hintseg.images.photographs import checked_image
from hintseg.progress import progress
from hintseg.structures import UNLABELLED, VOID, ClassSet, Hints, LabelMap, Shape

FORMATS = (
    *("coco", "voc", "yolo", "cvat", "labelstudio", "labelme", "via"),
    *("tags", "masks", "s4", "napari", "ilastik", "densepose", "saliency"),
)
JOURNAL_FILE = "import.json"
MOST_THREADS = 8

Placing = Literal["copy", "link"]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import took and left."""

    root: Path
    format: str
    classes: ClassSet
    images: int
    hinted: int  # images with hints
    masks: int
    counts: HintCounts  # (kind, class index) -> number of hints; "dense": of masks with the class
    splits: Mapping[str, int]  # split -> images
    left: Mapping[str, Sequence[str]]  # reason -> places
    changed: Mapping[str, Sequence[str]]  # what was done -> places


@dataclass(slots=True)
class _Entry:
    """One image of the data set to be, with all that was found of it."""

    name: str
    file: Path | None  # None: its content is in the source's own file
    found: list[Found]


@dataclass(slots=True)
class _Done:
    """What became of one entry; no pixels are kept."""

    name: str
    taken: bool = False
    hinted: bool = False
    masked: bool = False
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    journal: Journal = field(default_factory=Journal)


def import_dataset(
    format: str,
    source: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    classes: str | None = None,
    kinds: Collection[str] = (),
    placing: Placing = "copy",
) -> ImportResult:
    """Write the data set that another tool's files describe (docs/formats.md).

    The same files give the same data set. It is complete or not there: `out` gets its name last.

    Args:
        format: One of FORMATS.
        source: A file, a folder or a ZIP file.
        out: Folder to write.
        images: Where the images are, if not with the source.
        classes: Names in the order of their index, or a file of them; nothing else is taken.
        kinds: What to take (selecting.ONLY); empty: all.
        placing: Copy the images, or link to them.

    Raises:
        DataError: The source cannot be read, nothing in it can be used, or `out` has content.
        ConfigError: An unknown format, classes that cannot be.
        MissingExtraError: The format needs a package that is not installed.
    """
    source, out = Path(source), Path(out)
    read = _reader(format)
    asked = None if classes is None else parse_classes(classes)
    pictures = _folder(images)
    refuse_content(out)
    journal = Journal()
    with unpacked(source, out.absolute().parent) as place:
        request = Request(place.resolve(), str(source), journal, pictures, asked)
        given = only(read(request), kinds) if kinds else read(request)
        if place != source and placing == "link":
            placing = "copy"
            journal.change("images of a ZIP file are copied, not linked", str(source))
        with appearing(out) as folder:
            importer = _Importer(folder, request, given, placing)
            result = importer.run(format)
    return replace(result, root=out)


def _reader(name: str) -> Reader:
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return cast(Reader, import_module(f"hintseg.formats.{name}").read)


def _folder(images: str | Path | None) -> Path | None:
    if images is not None and not Path(images).is_dir():
        raise DataError(f"{images}: no such folder of images")
    return None if images is None else Path(images)


@dataclass(frozen=True)
class _Importer:
    """One import: images are looked up, classes settled, then each image is written."""

    root: Path
    request: Request
    source: Source
    placing: Placing

    def run(self, format_: str) -> ImportResult:
        """Write the data set."""
        entries = self._entries()
        if not entries:
            raise DataError(f"{self.request.name}: no image to import{self._reasons()}")
        classes, numbers = self._classes(entries)
        writer = DatasetWriter(self.root, classes)
        done = [each for each in self._work(writer, entries, numbers)]
        kept = [each for each in done if each.taken]
        if not any(each.hinted or each.masked for each in kept):
            raise DataError(f"{self.request.name}: no hint or mask to import{self._reasons()}")
        splits = self._splits(entries, {each.name for each in kept})
        writer.finish(splits)
        counts: Counter[tuple[str, int]] = Counter()
        for each in kept:
            counts.update(each.counts)
        result = ImportResult(
            root=self.root,
            format=format_,
            classes=classes,
            images=len(kept),
            hinted=sum(each.hinted for each in kept),
            masks=sum(each.masked for each in kept),
            counts=counts,
            splits={split: len(names) for split, names in splits.items()},
            left=self.request.journal.left,
            changed=self.request.journal.changed,
        )
        _write_journal(self.root / JOURNAL_FILE, result)
        return result

    def _reasons(self) -> str:
        """The reasons why so much was left, for an error that says that nothing was taken."""
        left = self.request.journal.left
        reasons = [f"{reason} ({places[0]})" for reason, places in left.items()]
        more = f" and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        return f": {'; '.join(reasons[:3])}{more}" if reasons else ""

    def _classes(self, entries: Sequence[_Entry]) -> tuple[ClassSet, dict[str, int]]:
        occurring = {
            label
            for entry in entries
            for found in entry.found
            for label in (*(drawn.label for drawn in found.drawn), *found.tags)
        }
        request = self.request
        classes, numbers = settle(request.classes, self.source.classes, occurring, request.name)
        for name in self.source.classes:
            if name not in numbers and name not in occurring:
                request.journal.leave("a listed class that --classes does not name", name)
        return classes, numbers

    def _entries(self) -> list[_Entry]:
        """The images of the data set, each with all that was found of it."""
        journal, by_file = self.request.journal, dict[Path | str, list[Found]]()
        given = self.request.images
        pictures = Pictures([given] if given else self.source.folders, self.source.maps)
        for found in self.source.found:
            file = found.file
            if file is None:
                try:
                    file = pictures.find(found.image, found.also)
                except DataError as error:
                    if found.content is None:
                        journal.leave(f"{error}", f"{found.place}: {found.image}")
                        continue
            by_file.setdefault(file or found.image, []).append(found)
        for path in pictures.files:
            if path not in by_file:
                place = self.request.place(path)
                journal.leave("an image that the source does not name", place)
        named = _names(by_file, pictures.folders)
        entries = [
            _Entry(name, key if isinstance(key, Path) else None, by_file[key])
            for key, name in named.items()
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def _work(
        self, writer: DatasetWriter, entries: Sequence[_Entry], numbers: Numbers
    ) -> Iterator[_Done]:
        """The images one after another, worked on by several threads."""
        pool = ThreadPoolExecutor(min(MOST_THREADS, usable_cores()), thread_name_prefix="import")
        with progress("import", len(entries)) as advance:
            try:
                for done in pool.map(partial(self._one, writer, numbers=numbers), entries):
                    self.request.journal.add(done.journal)
                    yield done
                    advance(done.name)
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, writer: DatasetWriter, entry: _Entry, numbers: Numbers) -> _Done:
        """Write one image with its hints and mask."""
        done = _Done(entry.name)
        place = entry.found[0].place
        file = done.journal.attempt(place, lambda: self._place(entry))
        if file is None:
            return done
        canvas = done.journal.attempt(place, lambda: _canvas(file))
        if canvas is None:
            file.unlink()
            return done
        done.taken = True
        hints, mask = _merged(entry.found, canvas, numbers, done.journal)
        if hints.shapes or hints.flags:
            path = self.root / "hints" / f"{entry.name}.json"
            above = "../" * (entry.name.count("/") + 1)  # a link is not followed
            named = f"{above}images/{entry.name}{file.suffix}"
            write_labelme(path, hints, writer.classes, image_path=named, size=canvas.size)
        if hints.partial is not None:
            path = self.root / "hints" / f"{entry.name}.png"
            write_label_map(path, hints.partial, classes=len(writer.classes))
        if mask is not None:
            writer.mask(entry.name, mask)
        done.hinted, done.masked = bool(hints), mask is not None
        done.counts = count_hints(hints)
        if mask is not None:
            done.counts.update(("dense", int(label)) for label in np.unique(mask[mask >= 0]))
        return done

    def _place(self, entry: _Entry) -> Path:
        """Copy or link an image into the data set; its file there."""
        if entry.file is None:
            content = entry.found[0].content
            assert content is not None
            data = content()
            target = self.root / "images" / f"{entry.name}{_ending(data)}"
            with replacing(target) as temporary:
                temporary.write_bytes(data)
            return target
        target = self.root / "images" / f"{entry.name}{entry.file.suffix.lower()}"
        with replacing(target) as temporary:
            if self.placing == "link":
                temporary.symlink_to(entry.file.resolve())
            else:
                shutil.copyfile(entry.file, temporary)
        return target

    def _splits(self, entries: Sequence[_Entry], kept: set[str]) -> dict[str, list[str]]:
        """The splits of the source, by the names of the data set; an image is in one of them."""
        meant = {found.image: entry.name for entry in entries for found in entry.found}
        home: dict[str, str] = {}
        for split, members in self.source.splits.items():
            for member in members:
                name = meant.get(member)
                if name is None or name not in kept:
                    continue
                if home.setdefault(name, split) != split:
                    reason = f"also in split {home[name]}, where it stays"
                    self.request.journal.leave(reason, f"split {split}: {member}")
        splits: dict[str, list[str]] = {}
        for name in sorted(home):
            splits.setdefault(home[name], []).append(name)
        if splits and "train" not in splits:
            reason = "splits without one called train; all images with hints are learned from"
            self.request.journal.leave(reason, ", ".join(sorted(splits)))
            return {}
        return {split: splits[split] for split in sorted(splits, key=_rank)}


def _rank(split: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(split) if split in order else len(order), split)


def _names(keys: Mapping[Path | str, list[Found]], folders: Sequence[Path]) -> dict:
    """A name for each image: its path below the folders that all of them share."""
    parts: dict[Path | str, tuple[str, ...]] = {}
    for key in keys:
        if isinstance(key, str):
            parts[key] = tuple(parts_of(key)) or ("image",)
            continue
        path = key.resolve()
        roots = [folder for folder in folders if path.is_relative_to(folder)]
        root = min(roots, key=lambda folder: len(folder.parts)) if roots else path.parent
        parts[key] = path.relative_to(root).parts
    shared = min((len(each) for each in parts.values()), default=1) - 1
    first = next(iter(parts.values()), ())
    while shared and any(each[:shared] != first[:shared] for each in parts.values()):
        shared -= 1
    taken: set[str] = set()
    order = sorted(parts, key=lambda key: (parts[key], str(key)))
    return {key: name_for(parts[key][shared:], taken) for key in order}


def _ending(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return ".jpg"
    return ".png" if data.startswith(b"\x89PNG") else ".bmp" if data[:2] == b"BM" else ".tif"


def _canvas(file: Path) -> Canvas:
    """The size of an image that can be decoded to its end; DataError for any other."""
    return Canvas(*checked_image(file))


def _merged(
    found: Sequence[Found], canvas: Canvas, numbers: Numbers, journal: Journal
) -> tuple[Hints, LabelMap | None]:
    """All hints of one image, and its mask; of several maps of one kind the first is taken."""
    shapes, flags = list[Shape](), set[int]()
    maps: dict[int, LabelMap | None] = {}
    for each in found:
        shapes += fit_shapes(each, canvas, numbers, journal)
        flags |= fit_tags(each, numbers, journal)
        for painted, undeclared in ((each.hints, UNLABELLED), (each.mask, VOID)):
            if painted is not None and maps.get(undeclared) is not None:
                journal.leave("a second label map of one image", painted.place)
            elif painted is not None:
                maps[undeclared] = fit_map(painted, canvas, numbers, journal)
    too_much = overdrawn(shapes, canvas.size)
    if too_much:
        journal.leave(too_much, found[0].place)
        shapes = []
    if len(found) > 1:
        journal.change("several entries for one image: all are taken", found[1].place)
    return Hints(tuple(shapes), frozenset(flags), maps.get(UNLABELLED)), maps.get(VOID)


def _write_journal(path: Path, result: ImportResult) -> None:
    """All that was taken, left and changed, with every place."""
    kinds: dict[str, dict[str, int]] = {}
    for (kind, label), number in sorted(result.counts.items()):
        kinds.setdefault(kind, {})[result.classes.names[label]] = number
    write_json(
        path,
        {
            "format": result.format,
            "images": result.images,
            "with_hints": result.hinted,
            "masks": result.masks,
            "hints": kinds,
            "splits": dict(result.splits),
            "left": {reason: list(places) for reason, places in result.left.items()},
            "changed": {what: list(places) for what, places in result.changed.items()},
        },
    )
