"""What the maps of a localiser are worth on the val split, for every threshold.

A threshold that is tuned on masks is no part of learning from tags; here it is measured only, and
recorded beside the seeds. "Given" tags are those of the masks, which nobody knows of a new image:
the figure is conditional on them. "Predicted" tags are what the classifier itself finds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from hintseg.methods.job import Job
from hintseg.methods.localise.localiser import Localiser, WithTags
from hintseg.methods.validating import validation_names
from hintseg.metrics import confusion_of, metrics_of
from hintseg.structures import UNLABELLED, ClassSet, LabelMap, Sample, ScoreMaps

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
IMAGES = 50  # of the val split, evenly spread
LIKELY = 0.5  # probability from which a predicted tag counts

Tags = Bool[np.ndarray, " classes"]
Tables = Int[np.ndarray, "thresholds _ _"]  # pixels by truth, and by prediction or none


def threshold_curve(job: Job[Any], localiser: Localiser) -> dict[str, Any]:
    """Mean IoU of maps cut at each of THRESHOLDS; empty without masks on the val split.

    A pixel is of the class of its highest map where that reaches the threshold, else background;
    in a data set without background it has no class there, and is missed.
    """
    names = validation_names(job.dataset, IMAGES)
    if not names:
        return {}
    sources: dict[str, Callable[[Sample], Tags]] = {"given": lambda sample: sample.weak.tags}
    if isinstance(localiser, WithTags):
        sources["predicted"] = lambda sample: likely_tags(localiser.tag_probabilities(sample))
    classes = job.dataset.classes

    def look(name: str) -> dict[str, Tables]:
        sample = job.masked(name)
        return {
            source: _tables(sample, localiser, tags(sample), classes)
            for source, tags in sources.items()
        }

    found = list(job.over(tuple(names), look, "threshold curve", every=True))
    curves = {source: _miou([tables[source] for tables in found]) for source in sources}
    best = int(np.argmax(curves["given"]))
    return {
        "split": "val",
        "images": len(names),
        "thresholds": list(THRESHOLDS),
        "miou": curves,
        "best": {"threshold": THRESHOLDS[best], "miou": curves["given"][best], "tags": "given"},
    }


def likely_tags(probabilities: Sequence[float] | np.ndarray) -> Tags:
    """The tags that a classifier finds in an image; the likeliest one at least."""
    found = np.asarray(probabilities) >= LIKELY
    if not found.any():
        found[int(np.argmax(probabilities))] = True
    return found


def cut_maps(seen: ScoreMaps, threshold: float, classes: ClassSet) -> LabelMap:
    """The class of the highest map where it reaches the threshold, else background or none.

    Example:
        >>> import torch
        >>> seen = ScoreMaps(torch.tensor([[[0.9, 0.2]], [[0.3, 0.1]]]), torch.tensor([1, 2]))
        >>> cut_maps(seen, 0.5, ClassSet(("ground", "a", "b"), background=0))
        array([[1, 0]], dtype=int16)
    """
    rest = UNLABELLED if classes.background is None else classes.background
    if not len(seen.maps):
        return np.full(seen.maps.shape[1:], rest, dtype=np.int16)
    best, place = seen.maps.max(dim=0)
    return seen.labels[place].where(best >= threshold, rest).numpy().astype(np.int16)


def _tables(sample: Sample, localiser: Localiser, tags: Tags, classes: ClassSet) -> Tables:
    """The confusion of an image at each threshold."""
    told = replace(sample, weak=replace(sample.weak, tags=tags))
    seen, truth = localiser.maps(told), sample.weak.labels
    found = [cut_maps(seen, threshold, classes) for threshold in THRESHOLDS]
    return np.stack([confusion_of(labels, truth, len(classes)) for labels in found])


def _miou(tables: Sequence[Tables]) -> list[float]:
    """One figure for each threshold, over all images."""
    total = np.sum(tables, axis=0)
    return [round(float(metrics_of(table).miou), 4) for table in total]
