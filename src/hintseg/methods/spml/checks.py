"""What SPML refuses before it starts: settings that contradict each other, terms without hints.

A relation that has hints to learn from may still find nothing in a batch, or in all of them: where
every two images have a tag in common, for one, co-occurrence repels nobody. Its loss is an exact 0
then, in the log and in the report.
"""

from collections.abc import Iterator

from hintseg.data.coverage import warn_of_hints
from hintseg.data.dataset import Dataset
from hintseg.data.samples import load_weak
from hintseg.errors import ConfigError, DataError
from hintseg.methods.cross_entropy.recipe import check_masks
from hintseg.methods.localise.checks import known_tags, warn_of_tags
from hintseg.methods.spml.settings import SPMLSettings, Weights

LABELLED = ("annotation", "affinity")  # relations to or between labelled segments


def check_terms(dataset: Dataset, settings: SPMLSettings) -> None:
    """Every configured term must have something to learn from; reads the hints of all images.

    Raises:
        DataError: The train split is empty, or a term has a weight and the data nothing for it.
        ConfigError: Two settings contradict each other.
    """
    _check_settings(settings)
    if settings.labels == "masks":
        return check_masks(dataset, settings)
    if not dataset.train_names():
        raise DataError(f"{dataset.root}: the train split is empty; add images to it")
    return _check_hints(dataset, settings)


def train_images(dataset: Dataset, settings: SPMLSettings) -> tuple[str, ...]:
    """The train split, hinted or not: images without hints take part in image similarity.

    Without splits: the images with hints, or all of them where no term asks for hints.
    """
    if settings.labels == "masks" or not any(_terms_of_hints(settings)):
        return dataset.train_names()
    return dataset.names("train")


def _check_settings(settings: SPMLSettings) -> None:
    weights = settings.relations
    if not settings.classifier and not any(getattr(weights, name) for name in Weights.model_fields):
        raise ConfigError("spml.relations: no term has a weight, so nothing is learned; give one")
    if settings.across and not settings.plain:
        raise ConfigError("spml.across: only the plain form has it; add --set spml.plain=true")
    regions = settings.regions
    if weights.similarity and regions.count == 1 and not regions.maps and not settings.across:
        raise ConfigError(
            "spml.regions.count=1: one region has nothing to be told from, so "
            f"spml.relations.similarity={weights.similarity} cannot act; set either to another"
        )
    if not settings.classifier and "classifier" in settings.relabel.rounds[:1]:
        raise ConfigError(
            "spml.relabel.rounds: begins with the classifier, which spml.classifier=0 leaves "
            "untrained; give that a weight, begin with retrieval, or set the rounds to []"
        )


def _check_hints(dataset: Dataset, settings: SPMLSettings) -> None:
    hinted = dataset.hinted_names()
    if hinted and any(_terms_of_hints(settings)):
        warn_of_hints(dataset, hinted)
        if settings.localise.steps != 0:
            warn_of_tags(dataset, *known_tags(dataset))
    tagged = any(dataset.hints(name).tags for name in hinted)
    for term in () if tagged else _terms_of_hints(settings):
        raise DataError(
            f"{dataset.hints_folder}: no hints for any train image, but {term} learns from them; "
            "draw some (docs/data.md), make some with `hintseg simulate`, or learn without any by "
            "--preset segsort-unsupervised"
        )
    if settings.localise.steps != 0 or any(_labels_pixels(dataset, name) for name in hinted):
        return
    for term in _terms_of_labels(settings):
        raise DataError(
            f"{dataset.hints_folder}: the hints label no pixel (tags and boxes only), and "
            f"spml.localise.steps=0 makes no seeds of them, but {term} learns from labels; leave "
            "the steps as they are, or draw a point or scribble"
        )


def _labels_pixels(dataset: Dataset, name: str) -> bool:
    return bool((load_weak(dataset, name, size=None).labels >= 0).any())


def _terms_of_labels(settings: SPMLSettings) -> Iterator[str]:
    """Names of the settings in force that need labelled pixels."""
    for name in LABELLED:
        if getattr(settings.relations, name):
            yield f"spml.relations.{name}"
    if settings.classifier:
        yield "spml.classifier"
    if settings.relabel.rounds:
        yield "spml.relabel.rounds"


def _terms_of_hints(settings: SPMLSettings) -> Iterator[str]:
    """Names of the settings in force that need hints of any kind."""
    yield from _terms_of_labels(settings)
    if settings.relations.cooccurrence:
        yield "spml.relations.cooccurrence"
    if settings.absent:
        yield "spml.absent"
