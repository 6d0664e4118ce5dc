"""Label maps -> files of another tool."""

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from hintseg.errors import ConfigError, DataError, UnknownNameError
from hintseg.export.coco import write_coco
from hintseg.export.cvat import write_cvat
from hintseg.export.geojson import write_geojson
from hintseg.export.labelled import (
    MASKS,
    POLYGONS,
    Add,
    ExportOptions,
    Labelled,
    Legend,
    Writer,
    legend_of,
)
from hintseg.export.labelme import write_labelme_files
from hintseg.export.labelstudio import write_labelstudio
from hintseg.export.masks import BINARY, COLOURS, INDEXED, write_masks
from hintseg.export.pieces import Crumbs, Piece, pieces_of, without_crumbs
from hintseg.export.sources import Source, open_source
from hintseg.export.yolo import write_yolo
from hintseg.files import appearing
from hintseg.progress import progress

DEFAULT = ExportOptions()
SMALLEST = 16  # pixels, of objects; label maps stay whole


@dataclass(frozen=True, slots=True)
class Format:
    """What a format can hold."""

    write: Writer
    ending: str | None = None  # of the one file; None: a folder
    drawn: tuple[str, ...] = (POLYGONS, MASKS)  # the first is the default
    needs_images: bool = True
    has_objects: bool = True


FORMATS: Mapping[str, Format] = {
    "masks": Format(
        write_masks,
        drawn=(INDEXED, COLOURS, BINARY),
        needs_images=False,
        has_objects=False,
    ),
    "coco": Format(write_coco, ".json"),
    "yolo": Format(write_yolo, drawn=(POLYGONS,)),
    "cvat": Format(write_cvat, ".xml"),
    "labelstudio": Format(write_labelstudio, ".json"),
    "labelme": Format(write_labelme_files),
    "geojson": Format(write_geojson, drawn=(POLYGONS,), needs_images=False),
}


@dataclass
class Exported:
    """What was written, and what was left out."""

    images: int = 0
    objects: Counter[str] = field(default_factory=Counter)  # by class
    crumbs: Crumbs = field(default_factory=Crumbs)
    failed: dict[Path, str] = field(default_factory=dict)  # label map -> why
    without: int = 0  # photographs without a label map

    def summary(self) -> str:
        """All of it in one line, as far as there is any.

        Example:
            >>> Exported(2, Counter(cow=3, sky=1), Crumbs(5, 20)).summary()
            '2 images, 4 objects (cow 3, sky 1); 5 pieces too small and dropped (20 pixels)'
        """
        parts = [f"{self.images} images"]
        if self.objects:
            by_class = ", ".join(f"{name} {count}" for name, count in self.objects.most_common())
            parts = [f"{parts[0]}, {self.objects.total()} objects ({by_class})"]
        if self.crumbs.pieces:
            pieces, pixels = self.crumbs
            parts.append(f"{pieces} pieces too small and dropped ({pixels} pixels)")
        if self.without:
            parts.append(f"{self.without} photographs without a label map")
        return "; ".join(parts)


def export_labels(
    format: str,
    source: Path,
    out: Path,
    *,
    images: Path | None = None,
    classes: str | None = None,
    split: str | None = None,
    options: ExportOptions = DEFAULT,
) -> Exported:
    """Write the label maps of a folder, or the masks of a data set, for another tool.

    A label map that cannot be read is reported and does not stop the rest.

    Args:
        format: One of FORMATS.
        source: Folder of label maps, or of a data set.
        out: A file or a folder, as the format has it; must not exist, or be empty.
        images: Folder of the photographs (`sources.open_source`, and so classes and split).
        classes: What the classes are called.
        split: Of a data set.
        options: How label maps become objects.

    Raises:
        HintSegError: An option cannot work, something is there already, or there is nothing to
            export.
    """
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    known = FORMATS[format]
    options = _checked(options, format, known)
    _check_place(out, format, known)
    found = open_source(source, images=images, classes=classes, split=split)
    if known.needs_images and found.images_folder is None:
        raise ConfigError(
            f"{source}: {format} names the files of the photographs; give their folder: --images"
        )
    legend = legend_of(found.classes, background=options.background or not known.has_objects)
    if not legend.kept:
        raise ConfigError(f"{source}: the background is the only class; give --background")
    whole = nullcontext(out) if known.ending is not None else appearing(out)
    with whole as place, known.write(place, legend, options) as add:
        return _export(found, legend, options, known, add)


def _checked(options: ExportOptions, format: str, known: Format) -> ExportOptions:
    """The options with what the format does where nothing is said."""
    drawn = options.drawn or known.drawn[0]
    if drawn not in known.drawn:
        raise ConfigError(f"--as {drawn}: {format} can have {', '.join(known.drawn)}")
    for name, given, place in (
        ("--link", options.link, "yolo"),
        ("--url", options.url is not None, "labelstudio"),
    ):
        if given and format != place:
            raise ConfigError(f"{name}: is for {place} only; leave it out")
    smallest = options.smallest
    if smallest is None:
        smallest = SMALLEST if known.has_objects else 0
    return replace(options, drawn=drawn, smallest=smallest)


def _check_place(out: Path, format: str, known: Format) -> None:
    """Nothing is written over: a person may have corrected it by now."""
    if known.ending is not None:
        if out.suffix.lower() != known.ending:
            raise ConfigError(f"--out {out}: {format} is one file; choose a name *{known.ending}")
        if out.exists():
            raise DataError(f"{out}: exists already; choose another --out or delete it")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists already; choose another --out or delete it")


def _export(
    source: Source, legend: Legend, options: ExportOptions, known: Format, add: Add
) -> Exported:
    done = Exported(without=source.without)
    with progress("export", len(source.files)) as advance:
        for name, file in source.files.items():
            try:
                image, crumbs = _labelled(source, name, legend, options, known)
            except DataError as error:
                done.failed[file] = str(error)
            else:
                add(image)
                done.images += 1
                done.objects.update(legend.name(piece.label) for piece in image.pieces)
                done.crumbs = done.crumbs.plus(crumbs)
            advance(name)
    if not done.images:
        raise DataError(f"{source.folder}: nothing could be exported; {_first(done.failed)}")
    return done


def _first(failed: Mapping[Path, str]) -> str:
    return next(iter(failed.values()))


def _labelled(
    source: Source, name: str, legend: Legend, options: ExportOptions, known: Format
) -> tuple[Labelled, Crumbs]:
    """One image, ready to be written, and what was dropped of it."""
    photograph = source.photograph(name)
    labels, crumbs = without_crumbs(source.labels(name), options.smallest or 0)
    place = name
    if photograph is not None and source.images_folder is not None:
        place = photograph.relative_to(source.images_folder).as_posix()
    pieces: tuple[Piece, ...] = ()
    if known.has_objects:
        pieces = pieces_of(
            labels,
            kept=legend.kept,
            whole_classes=not options.by_piece,
            tolerance=options.tolerance,
            scores=source.scores(name, (labels.shape[0], labels.shape[1])),
        )
    return Labelled(name, photograph, place, labels, pieces), crumbs
