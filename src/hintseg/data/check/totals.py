"""What only the whole of a data set shows: nothing to learn from, absent classes, odd codings."""

from collections import Counter
from collections.abc import Iterator, Sequence

from hintseg.data.check.image import ImageFacts, Problem
from hintseg.data.check.palettes import palette_remark
from hintseg.data.coverage import (
    absent_remarks,
    class_remarks,
    hint_remarks,
    painted_remarks,
    total_coverage,
    void_remarks,
)
from hintseg.data.dataset import DATASET_FILE, Dataset


def check_totals(dataset: Dataset, images: Sequence[ImageFacts]) -> list[Problem]:
    """The problems of a data set as a whole."""
    file = str(dataset.root / DATASET_FILE)
    if not any(facts.hinted or facts.masked for facts in images):
        folders = f"hints in {dataset.hints_folder} nor masks in {dataset.masks_folder}"
        broken = any(p.severity == "error" for facts in images for p in facts.problems)
        remedy = "mend the files above" if broken else "draw some hints with LabelMe"
        return [Problem(file, f"neither usable {folders}; {remedy}")]
    problems = [Problem(file, text, "warning") for text in _remarks(dataset, images)]
    for folder in (dataset.hints_folder, dataset.masks_folder):
        facts = [p for each in images for p in each.palettes if folder in p.path.parents]
        found = palette_remark(facts, dataset.classes)
        if found is not None:
            problems.append(Problem(str(found[0]), found[1], "warning"))
    return problems


def _remarks(dataset: Dataset, images: Sequence[ImageFacts]) -> Iterator[str]:
    classes = len(dataset.classes)
    learned = set(dataset.splits.get("train", dataset.images))
    train = [facts for facts in images if facts.name in learned]
    counts = sum((Counter(facts.counts) for facts in train), start=Counter())
    yield from class_remarks(dataset.classes)
    where = "in the train split" if dataset.splits else "anywhere"
    yield from hint_remarks(counts, dataset.classes, where)
    all_masks = total_coverage((facts.mask for facts in images if facts.mask), classes)
    yield from void_remarks(all_masks, dataset, "the data set")
    masks = [facts.mask for facts in train if facts.mask]
    if len(masks) == len(train) and all_masks.pixels[1:].any():  # method full can be meant
        where = "the train split" if dataset.splits else "the data set"
        yield from absent_remarks(total_coverage(masks, classes), dataset, where)
    painted = (facts.painted for facts in images if facts.painted)
    yield from painted_remarks(total_coverage(painted, classes), dataset)
