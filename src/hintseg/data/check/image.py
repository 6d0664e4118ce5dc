"""Everything that can be said of one image and its hint and mask files, without ever raising."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from hintseg.data.check.palettes import PaletteFacts, palette_facts
from hintseg.data.coverage import Coverage, HintCounts, count_hints, coverage_of
from hintseg.data.dataset import Dataset
from hintseg.errors import HintSegError
from hintseg.hints.labelme import image_named, labelme_problems, labelme_warnings, read_labelme
from hintseg.hints.raster import rasterize
from hintseg.hints.shapes import Size
from hintseg.images.files import without_ending
from hintseg.images.label_maps import indexed_colours, read_label_map
from hintseg.images.names import composed, last_part
from hintseg.images.photographs import read_image
from hintseg.structures import UNLABELLED, VOID, Hints, LabelMap

T = TypeVar("T")
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one file, and what to do about it."""

    file: str
    text: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What was found out about one image; no pixels are kept."""

    name: str
    problems: tuple[Problem, ...] = ()
    hinted: bool = False  # at least one hint could be read
    masked: bool = False  # a mask file exists, sound or not
    counts: HintCounts = field(default_factory=dict)
    labelled: float = 0.0  # share of the pixels that the hints label
    mask: Coverage | None = None  # of a mask that is sound
    painted: Coverage | None = None  # of a painted hint that is sound
    palettes: tuple[PaletteFacts, ...] = ()  # of its indexed files


def check_image(dataset: Dataset, name: str) -> ImageFacts:
    """Decode the files of one image completely and say what is wrong with each."""
    problems: list[Problem] = []
    path = dataset.images[name]
    image = attempt(problems, path, lambda: read_image(regular(path), dataset.reading))
    size = None if image is None else (image.shape[0], image.shape[1])
    del image  # a large photograph is not needed any more
    hints = _drawn(dataset, name, size, problems)
    partial = truth = None
    painted = attempt(problems, path, lambda: dataset.partial_file(name))
    if painted is not None:
        partial = _label_map(dataset, name, painted, UNLABELLED, problems) if size else None
        hints = replace(hints, partial=partial)
    mask = attempt(problems, path, lambda: dataset.mask_file(name))
    if mask is not None:
        truth = _label_map(dataset, name, mask, VOID, problems) if size else None
    share = None
    if size is not None and hints:
        share = attempt(problems, path, lambda: _labelled(dataset, name, size, hints, problems))
    return ImageFacts(
        name,
        tuple(problems),
        bool(hints),
        mask is not None,
        count_hints(hints),
        labelled=share or 0.0,
        mask=None if truth is None else coverage_of(truth, len(dataset.classes)),
        painted=None if partial is None else coverage_of(partial, len(dataset.classes)),
        palettes=tuple(_palettes(dataset, [(painted, partial), (mask, truth)])),
    )


def _palettes(
    dataset: Dataset, maps: Sequence[tuple[Path | None, LabelMap | None]]
) -> Iterator[PaletteFacts]:
    """What the palettes of label maps say, where it is the index that counts."""
    for path, labels in maps:
        if path is None or labels is None or dataset.coding:
            continue
        colours = indexed_colours(path)
        if colours is not None:
            yield palette_facts(path, labels, colours, len(dataset.classes))


def attempt(problems: list[Problem], path: Path, read: Callable[[], T]) -> T | None:
    """What `read` gives; None after noting what went wrong with the file."""
    try:
        return read()
    except HintSegError as error:
        problems.append(Problem(str(path), str(error).removeprefix(f"{path}: ")))
    except Exception as error:  # whatever a file may do to a decoder, the other files go on
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        problems.append(Problem(str(path), f"cannot be read ({reason}); replace it or remove it"))
    return None


def regular(path: Path) -> Path:
    """The path, unless it is something else than a file.

    Raises:
        HintSegError: A folder, a device or the like.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise HintSegError(f"{path}: is {what}; rename it or move it away")
    return path


def _drawn(dataset: Dataset, name: str, size: Size | None, problems: list[Problem]) -> Hints:
    """The LabelMe file of an image; empty hints where it is absent or broken."""
    path = attempt(problems, dataset.images[name], lambda: dataset.json_file(name))
    if path is None:
        return Hints()
    problems += _other_file(dataset, name, path) + _other_image(dataset, name, path)
    if size is not None:
        image = dataset.images[name].name
        problems += _told(
            problems, path, lambda: labelme_problems(path, dataset.classes, size, image=image)
        )
        problems += _told(
            problems, path, lambda: labelme_warnings(path, dataset.classes, size), "warning"
        )
    # Where the size is known, all that reading could complain of has just been listed.
    complaints = problems if size is None else []
    read = attempt(complaints, path, lambda: read_labelme(path, dataset.classes))
    hints = Hints() if read is None else read[0]
    if read is not None and not hints:
        text = "holds no hint; draw or tick something, or remove the file"
        problems.append(Problem(str(path), text, "warning"))
    return hints


def _told(
    problems: list[Problem],
    path: Path,
    find: Callable[[], list[str]],
    severity: Severity = "error",
) -> list[Problem]:
    """What a look at a file finds, as problems of it."""
    found = attempt(problems, path, find) or ()
    return [Problem(str(path), text.removeprefix(f"{path}: "), severity) for text in found]


def _other_file(dataset: Dataset, name: str, used: Path) -> list[Problem]:
    """A second LabelMe file of the image, beside the photograph, that is not read."""
    beside = dataset.json_beside(name)
    if beside is None or beside == used:
        return []
    text = f"not used, {used} is; keep one of them"
    return [Problem(str(beside), text, "warning")]


def _other_image(dataset: Dataset, name: str, path: Path) -> list[Problem]:
    """A LabelMe file whose imagePath means another image than its own name does."""
    named = image_named(path)
    other = None if named is None else _meant(dataset, name, named)
    if other is None:
        return []
    text = (
        f"imagePath names {named!r}, which is image {other!r}; the file counts for {name!r}, "
        "whose name it has: rename it or correct imagePath"
    )
    return [Problem(str(path), text, "warning")]


def _meant(dataset: Dataset, name: str, named: str) -> str | None:
    """The image other than `name` that a path in its LabelMe file means; None: it means no other.

    Folders count only where they lead to an image: LabelMe's paths are as seen from the file, and
    data sets are moved.
    """
    found = dataset.find(named)
    last = last_part(without_ending(composed(named).replace("\\", "/")))
    if last == last_part(name):
        return found if found != name and found is not None and "/" in found else None
    return found or dataset.by_last_part.get(last)


def _label_map(
    dataset: Dataset, name: str, path: Path, undeclared: int, problems: list[Problem]
) -> LabelMap | None:
    """A mask or partial label map that fits its image; None after noting why there is none."""
    labels = attempt(
        problems,
        path,
        lambda: read_label_map(
            regular(path),
            classes=len(dataset.classes),
            undeclared=undeclared,
            coding=dataset.coding,
        ),
    )
    if labels is None:
        return None
    misfit = attempt(
        problems, path, lambda: dataset.misfit((labels.shape[0], labels.shape[1]), name)
    )
    if misfit is not None:
        problems.append(Problem(str(path), misfit))
        return None
    if not (labels >= 0).any():
        text = "no pixel has a class; paint something or remove the file"
        problems.append(Problem(str(path), text, "warning"))
    return labels


def _labelled(
    dataset: Dataset, name: str, size: Size, hints: Hints, problems: list[Problem]
) -> float:
    """Share of pixels with a weak label; notes those that two classes claim."""
    weak = rasterize(
        hints,
        size,
        dataset.classes,
        tags_complete=dataset.tags_complete,
        boxes_complete=dataset.boxes_complete,
    )
    if weak.contested:
        text = (
            f"{weak.contested} pixels ({weak.contested / weak.labels.size:.2%}) are claimed by two "
            "classes and stay unlabelled; move the shapes apart if that is much"
        )
        path = dataset.json_file(name) or dataset.partial_file(name)
        problems.append(Problem(str(path), text, "warning"))
    return float((weak.labels >= 0).mean())
