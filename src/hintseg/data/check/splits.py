"""The split files of a data set: what they name, and what must not be named twice."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path

from hintseg.data.check.image import ImageFacts, Problem, Severity, attempt
from hintseg.data.dataset import DATASET_FILE, Dataset, DatasetFile, split_lines
from hintseg.images.names import composed

NAMED = 5  # images that a message lists before it says "and n more"
SEARCHED = 2000  # comparing every wrong name with every image of a larger data set would take hours


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Numbers of one split."""

    images: int  # that exist
    hinted: int
    masked: int


def check_splits(
    dataset: Dataset,
    settings: DatasetFile,
    images: Sequence[ImageFacts],
    problems: list[Problem],
) -> dict[str, SplitFacts]:
    """Count the splits that could be read, and note what is wrong with each and between them."""
    known = {facts.name: facts for facts in images}
    if settings.splits and "train" not in settings.splits:
        text = "splits: names no split 'train'; add one, it is what is learned from"
        problems.append(Problem(str(dataset.root / DATASET_FILE), text))
    facts = {}
    for split, names in dataset.splits.items():
        file = str(dataset.root / settings.splits[split])
        _check_names(dataset, settings, split, problems)
        members = [known[name] for name in names if name in known]
        facts[split] = SplitFacts(
            images=len(members),
            hinted=sum(member.hinted for member in members),
            masked=sum(member.masked for member in members),
        )
        problems += _useless(split, file, facts[split])
    problems += _overlaps(dataset, settings)
    problems += _unused_hints(dataset, images)
    return facts


def _check_names(
    dataset: Dataset, settings: DatasetFile, split: str, problems: list[Problem]
) -> None:
    path = dataset.root / settings.splits[split]
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for line in attempt(problems, path, lambda: split_lines(path)) or ():
        lines[dataset.find(line) or line].append(line)
    if not lines:
        text = f"split {split!r} names no image; list one image name a line"
        problems.append(Problem(str(path), text))
    for name, written in lines.items():
        if name not in dataset.images:
            text = f"names an image that does not exist: {name!r}{near(name, dataset)}; "
            problems.append(Problem(str(path), text + "add the image or drop the line"))
        if len(written) > 1:
            forms = [form for form in dict.fromkeys(written) if form != name]
            as_ = f" (as {_listed(forms)})" if forms else ""
            text = f"names {name!r} {len(written)} times{as_}; once is enough"
            problems.append(Problem(str(path), text))


def _useless(split: str, file: str, facts: SplitFacts) -> list[Problem]:
    """A split to evaluate on whose images cannot all be evaluated."""
    missing = facts.images - facts.masked
    if split == "train" or not missing:
        return []
    text = (
        f"{missing} of {facts.images} images of split {split!r} have no mask; "
        "it cannot be evaluated without them"
    )
    return [Problem(file, text, "warning")]


def _overlaps(dataset: Dataset, settings: DatasetFile) -> list[Problem]:
    """Images in two splits: scores would be those of images that were learned from."""
    problems = []
    for one, other in combinations(dataset.splits, 2):
        shared = sorted({*dataset.splits[one]} & {*dataset.splits[other]})
        if not shared:
            continue
        leak = "train" in (one, other) and not {"val", "test"}.isdisjoint((one, other))
        severity: Severity = "error" if leak else "warning"
        count = "1 image is" if len(shared) == 1 else f"{len(shared)} images are"
        text = f"{count} also in split {one!r}: {_listed(shared)}; "
        text += "scores on them would flatter, keep each in one split"
        path = dataset.root / settings.splits[other]
        problems.append(Problem(str(path), text, severity))
    return problems


def _unused_hints(dataset: Dataset, images: Sequence[ImageFacts]) -> list[Problem]:
    """Hints that training never sees."""
    if not dataset.splits:
        return []
    home = {name: split for split, names in dataset.splits.items() for name in names}
    home |= {name: "train" for name in dataset.splits.get("train", ())}
    problems = []
    for facts in images:
        split = home.get(facts.name)
        if not facts.hinted or split == "train":
            continue
        where = f"in split {split!r}" if split else "in no split"
        path = dataset.json_file(facts.name) or dataset.partial_file(facts.name)
        text = f"its image is {where}; only hints of the train split are learned from"
        problems.append(Problem(str(path), text, "warning"))
    return problems


def near(name: str, dataset: Dataset) -> str:
    """' (did you mean ...?)' with the image of the nearest name; empty if none is near."""
    close = [n for n in (name.lower(), name.upper()) if n in dataset.images]
    inner = composed(f"/{Path(name).stem}")
    close = close or [other for other in dataset.images if other.endswith(inner)][:1]
    if not close and len(dataset.images) <= SEARCHED:
        close = get_close_matches(name, dataset.images, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
