"""LDF: label decoupling for salient objects (Wei et al., CVPR 2020, arXiv:2008.11048).

Far from its edge an object is easy, near to it hard, and there are few such pixels. So the mask is
cut in two: the body, deep inside, and the detail, along the edge. A branch of the network learns
either, they tell each other twice what they have found, and both together give the object. Stage
`fine` learns the body and the detail that the network of stage `coarse` has found.

From hints, stage `coarse` learns the labelled pixels alone, and stage `fine` the masks that its
network makes of the rest, with their bodies and details. A teacher, a run of another method on the
same hints, takes the place of stage `coarse`.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.data.coverage import warn_of_hints, warn_of_masks
from hintseg.data.dataset import DATASET_FILE, Dataset
from hintseg.data.grouped import as_object
from hintseg.data.samples import Loader, load_weak, with_labels
from hintseg.engine.optimizer import triangular
from hintseg.engine.stages import Stage
from hintseg.errors import DataError
from hintseg.methods.fitting import Batches, chosen_network, train_segmenter
from hintseg.methods.job import Job, Recipe
from hintseg.methods.ldf import COARSE, FINE
from hintseg.methods.ldf.labels import (
    LABELS,
    Finder,
    Maps,
    finder,
    objects_of_network,
    objects_of_run,
    teacher_of,
    with_found_maps,
    with_maps,
    write_labels,
    write_maps,
)
from hintseg.methods.ldf.learner import Decoupled
from hintseg.methods.ldf.settings import LDFSettings
from hintseg.methods.ldf.sheets import write_maps_sheet
from hintseg.methods.localise.cue import in_words
from hintseg.methods.supervision import Supervision, from_hints, masks_of
from hintseg.models.saved import load_model
from hintseg.models.two_branch import TwoBranch
from hintseg.structures import LabelMap


def ldf_stages(job: Job[LDFSettings]) -> tuple[Stage, ...]:
    """A first network of the masks, then one of what the first has found."""
    if job.method_settings.teacher is not None:  # it has learned what stage coarse would
        return (Stage(FINE, partial(_fine, job)),)
    coarse = Stage(COARSE, partial(_coarse, job))
    if job.method_settings.fine_steps == 0:
        return (coarse,)
    return (coarse, Stage(FINE, partial(_fine, job)))


def _coarse(job: Job[LDFSettings], folder: Path) -> dict[str, Any]:
    maps, names = _maps(job), _names(job.dataset, job.method_settings)
    masks = job.method_settings.labels == "masks"
    load = with_maps(job.masked, maps) if masks else job.hinted
    return _train(job, folder, Batches(job, names, load), load)


def _fine(job: Job[LDFSettings], folder: Path) -> dict[str, Any]:
    settings, maps = job.method_settings, _maps(job)
    names = _names(job.dataset, settings)
    if settings.labels == "masks":
        write_maps(job, folder, names, _finder(job), maps)
        load = with_found_maps(job.masked, folder, maps)
    else:
        if settings.teacher is None:
            objects = objects_of_network(job, _finder(job))
        else:
            objects = objects_of_run(job, settings.teacher, maps)
        write_labels(job, folder, names, objects, maps)
        load = with_maps(with_labels(job.hinted, folder / LABELS, classes=2), maps)
    job.fabric.barrier()
    return _train(job, folder, Batches(job, names, load, steps=settings.fine_steps), load)


def _finder(job: Job[LDFSettings]) -> Finder:
    """What the network of stage coarse finds."""
    network = chosen_network(job, COARSE)
    assert isinstance(network, TwoBranch)
    return finder(job, network)


def _train(job: Job[LDFSettings], folder: Path, batches: Batches, load: Loader) -> dict[str, Any]:
    """A new network; what it has made of some images is drawn on a sheet."""
    model, settings, names = job.network(), job.settings, batches.order.names
    assert isinstance(model, TwoBranch)
    learner = Decoupled(model, _maps(job), seed=settings.seed)
    up_and_down = job.method_settings.schedule == "triangular"
    lr = triangular(settings.lr, batches.steps) if up_and_down else None
    record = train_segmenter(job, learner, folder, batches, lr=lr)
    if job.fabric.is_global_zero:
        chosen, _ = load_model(folder / record["model"])
        assert isinstance(chosen, TwoBranch)
        find = finder(job, chosen.to(job.fabric.device))
        write_maps_sheet(job, folder, names, load, find, _maps(job))
    job.fabric.barrier()
    return {**record, "images": len(names)}


def _maps(job: Job[LDFSettings]) -> Maps:
    background = job.dataset.classes.background
    assert background is not None, "it has been seen as an object and a background"
    return Maps(job.method_settings, 1 - background)


def _names(dataset: Dataset, settings: LDFSettings) -> tuple[str, ...]:
    return dataset.train_names() if settings.labels == "masks" else dataset.hinted_names()


def seen(dataset: Dataset, settings: LDFSettings) -> Dataset:
    """The data set as a background and objects; ConfigError where it is not clear what they are."""
    return as_object(dataset, settings.foreground, option="--set ldf.foreground")


def check_objects(dataset: Dataset, settings: LDFSettings) -> None:
    """There must be pixels of objects and of background to learn from.

    Raises:
        ConfigError: It is not clear what the objects are, or the teacher knows other classes.
        DataError: Masks are missing, or all labelled pixels are of one kind.
    """
    two = seen(dataset, settings)
    if settings.labels == "masks":
        _check_masks(two)
        return
    _check_hints(two)
    if settings.teacher is not None:
        teacher_of(two, settings.teacher)


def _check_masks(dataset: Dataset) -> None:
    names = dataset.train_names()
    if not names:
        raise DataError(f"{dataset.root}: the train split is empty; add images to it")
    without = [name for name in names if not dataset.has_mask(name)]
    if without:
        raise DataError(
            f"{dataset.mask_path(without[0])}: no such mask ({len(without)} of {len(names)} train "
            "images have none); learn from hints by --set ldf.labels=hints, or make masks of them "
            "(`hintseg label`)"
        )
    _refuse_one_kind(
        dataset, (dataset.checked_truth(name) for name in names), f"{dataset.masks_folder}: masks"
    )
    warn_of_masks(dataset, names)


def _check_hints(dataset: Dataset) -> None:
    names = dataset.hinted_names()
    if not names:
        raise DataError(
            f"{dataset.hints_folder}: no hints for any train image; draw some (docs/data.md), or "
            "learn from masks by --set ldf.labels=masks"
        )
    labels = (load_weak(dataset, name, size=None).labels for name in names)
    _refuse_one_kind(dataset, labels, f"{dataset.hints_folder}: hints")
    warn_of_hints(dataset, names)


def _refuse_one_kind(dataset: Dataset, maps: Iterable[LabelMap], what: str) -> None:
    """DataError where no map, or no other map, shows objects; looks at few if all is well."""
    shown: set[int] = set()
    for labels in maps:
        shown |= set(np.unique(labels[labels >= 0]).tolist())
        if len(shown) == 2:
            return
    missing = [name for index, name in enumerate(dataset.classes) if index not in shown]
    raise DataError(
        f"{what} of the train split have no pixel of {' or '.join(map(repr, missing))}; both are "
        f"needed (see values: and background: in {DATASET_FILE})"
    )


def sees(dataset: Dataset, settings: LDFSettings) -> Supervision:
    """Masks are full supervision, whatever is learned of it later."""
    if settings.labels == "hints":
        of_hints = from_hints(dataset, settings)
        if settings.teacher is None:
            return of_hints
        return replace(of_hints, beyond=[f"labels of {in_words(settings.teacher)}"])
    names = dataset.train_names()
    return Supervision(beyond=[masks_of(names, dataset, "what it learns from")])


def _network(settings: LDFSettings) -> dict[str, Any]:
    return {"iterations": settings.iterations, "foreground": settings.foreground}


RECIPE = Recipe(
    stages=ldf_stages,
    check=check_objects,
    settings=LDFSettings,
    sees=sees,
    kind="two-branch",
    view=seen,
    extra=_network,
)
