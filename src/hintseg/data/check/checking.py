"""`hintseg check`: every problem of a data set at once, and what its hints amount to."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hintseg.cores import in_order, usable_cores
from hintseg.data.check.image import ImageFacts, Problem, attempt, check_image
from hintseg.data.check.splits import SplitFacts, check_splits
from hintseg.data.check.strays import check_strays
from hintseg.data.check.totals import check_totals
from hintseg.data.dataset import (
    DATASET_FILE,
    Dataset,
    DatasetFile,
    assemble,
    find_images,
    read_settings,
    read_split,
)
from hintseg.images.files import ImageFolder
from hintseg.progress import progress

KINDS = ("tag", "point", "scribble", "box", "polygon", "mask")
MOST_THREADS = 8


@dataclass(frozen=True)
class CheckResult:
    """What `hintseg check` says of a data set."""

    root: Path
    problems: tuple[Problem, ...]  # errors first
    dataset: Dataset | None = None  # None: it could not be opened
    images: tuple[ImageFacts, ...] = ()
    splits: Mapping[str, SplitFacts] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What has to be mended before training."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What may be meant so."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def hinted(self) -> int:
        """Number of images with at least one sound hint."""
        return sum(facts.hinted for facts in self.images)

    @property
    def masked(self) -> int:
        """Number of images with a dense mask."""
        return sum(facts.masked for facts in self.images)

    @property
    def unhinted_train(self) -> int:
        """Number of images of the train split (of all, without splits) that have no sound hint."""
        if "train" in self.splits:
            return self.splits["train"].images - self.splits["train"].hinted
        return 0 if self.splits else len(self.images) - self.hinted

    @property
    def labelled(self) -> float:
        """Mean share of labelled pixels over the hinted images; NaN if there are none."""
        shares = [facts.labelled for facts in self.images if facts.hinted]
        return sum(shares) / len(shares) if shares else float("nan")

    @property
    def counts(self) -> dict[str, tuple[int, ...]]:
        """Kind of hint -> its number for every class; a painted map counts once per class in it."""
        total: Counter[tuple[str, int]] = Counter()
        for facts in self.images:
            total.update(facts.counts)
        classes = range(len(self.dataset.classes) if self.dataset else 0)
        return {kind: tuple(total[kind, index] for index in classes) for kind in KINDS}


def check(root: str | Path) -> CheckResult:
    """Look at every file of a data set; problems of the user's data are listed, never raised."""
    root = Path(root)
    problems: list[Problem] = []
    settings = _settings(root, problems)
    opened = None if settings is None else _open(root, settings, problems)
    if settings is None or opened is None:
        return CheckResult(root, tuple(problems))
    dataset, folder = opened
    _check_folders(dataset, folder, problems)
    images = tuple(_check_images(dataset))
    problems += [problem for facts in images for problem in facts.problems]
    splits = check_splits(dataset, settings, images, problems)
    problems += check_totals(dataset, images)
    problems.sort(key=lambda problem: problem.severity)  # stable: errors first
    return CheckResult(root, tuple(problems), dataset, images, splits)


def _settings(root: Path, problems: list[Problem]) -> DatasetFile | None:
    if not root.is_dir():
        text = f"no such folder; a data set is a folder with {DATASET_FILE}"
        problems.append(Problem(str(root), text))
        return None
    file = root / DATASET_FILE
    return attempt(problems, file, lambda: read_settings(file))


def _open(
    root: Path, settings: DatasetFile, problems: list[Problem]
) -> tuple[Dataset, ImageFolder] | None:
    """The data set without the splits that cannot be read; None without classes or images."""
    file = root / DATASET_FILE
    folder = attempt(problems, root / settings.images, lambda: find_images(root, settings))
    images = {} if folder is None else folder.images
    splits = {
        name: attempt(problems, root / path, partial(read_split, root / path, images))
        for name, path in settings.splits.items()
    }
    sound = {name: names for name, names in splits.items() if names is not None}
    dataset = attempt(problems, file, lambda: assemble(root, settings, images, sound))
    return None if dataset is None or folder is None else (dataset, folder)


def _check_images(dataset: Dataset) -> Iterator[ImageFacts]:
    """The images one after another, worked on by several threads."""
    threads = min(MOST_THREADS, usable_cores())
    pool = ThreadPoolExecutor(threads, thread_name_prefix="check")
    with progress("check", len(dataset.images)) as advance:
        try:
            for facts in in_order(
                pool, partial(check_image, dataset), dataset.images, ahead=4 * threads
            ):
                yield facts
                advance(facts.name)
        finally:
            pool.shutdown(cancel_futures=True)


def _check_folders(dataset: Dataset, folder: ImageFolder, problems: list[Problem]) -> None:
    """Files that are passed over, that share a name, and that belong to no image."""
    where = str(dataset.images_folder)
    problems += [Problem(where, text, "warning") for text in folder.complaints()]
    labels = (dataset.partial_file, dataset.mask_file)
    for name, doubles in folder.doubles.items():
        used = dataset.images[name]
        others = [path for path in doubles if all(path != find(name) for find in labels)]
        if others:
            names = ", ".join(path.name for path in others)
            text = f"{names}: same name but for the ending; {used.name} is used, rename or remove "
            problems.append(Problem(str(used), text + "the rest"))
    problems += check_strays(dataset, folder)
