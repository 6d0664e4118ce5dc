"""Seeds for classes that a hint names but does not show: tags without a pixel, and boxes.

The classifier is trained in the run, on the hints of the run: no maps from elsewhere. Its class
activation maps (Zhou et al. 2016, arXiv:1512.04150) over several views of an image, cut by two
thresholds, are the seeds (Ahn and Kwak 2018, arXiv:1803.10464; boxes as in Ke et al. 2021,
arXiv:2105.00957). Maps are made for tags that a person gave, never for predicted ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.data.samples import Loader, load_hinted
from hintseg.data.transforms import Augmentation
from hintseg.files import replacing
from hintseg.label_maps import overlay, read_label_map, write_label_map
from hintseg.losses.image_level import tag_loss
from hintseg.methods.contact_sheet import Row, drawn_hints, evenly, sheet_row, write_sheet
from hintseg.methods.fitting import Batches, Forgetful, train_network
from hintseg.methods.job import Job
from hintseg.methods.localise.agreed import AgreedSeeder
from hintseg.methods.localise.seeder import Seeder, missing_classes
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.tag_classifier import TagClassifier, tag_scores
from hintseg.predict.crf import supported_labels
from hintseg.progress import progress
from hintseg.resize import resize_labels
from hintseg.structures import UNLABELLED, Batch, ClassSet, LabelMap, Sample, WeakLabels

SHEET_IMAGES, SHEET_MAPS = 8, 2  # on the contact sheet: images, and maps of each
PART = 0.4  # of the steps of the run, where its own are not set


class TagLearner(Forgetful):
    """Learns which classes are in an image from the tags that are known."""

    def __init__(self, model: TagClassifier) -> None:
        self.model = model
        self.pretrained = model.backbone

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Soft margin over the known tags."""
        rows = list(self.model.foreground)
        scores = tag_scores(self.model(batch.images))
        return {"tags": tag_loss(scores, batch.tags[:, rows], batch.absent[:, rows])}


def images_needing_seeds(dataset: Dataset, weak: Callable[[str], WeakLabels]) -> tuple[str, ...]:
    """Train images with a class that their hints name but do not show.

    The background alone asks for no seeds, unless no image at all shows it: an object that fills
    its image was drawn by somebody who saw no background.
    """
    missing, shows_background = {}, False
    for name in dataset.hinted_names():
        known = weak(name)
        missing[name] = missing_classes(known, dataset.classes)
        shows_background |= bool(np.any(known.labels == dataset.classes.background))
    asking = list(dataset.classes.foreground) if shows_background else slice(None)
    return tuple(name for name, classes in missing.items() if classes[asking].any())


def unseen_images(job: Job, settings: LocaliseSettings) -> tuple[str, ...]:
    """The images that get seeds: none without a classifier of tags."""
    wanted = job.share(settings.steps, PART)
    return images_needing_seeds(job.dataset, job.weak) if wanted else ()


def localise(
    job: Job, settings: LocaliseSettings, names: tuple[str, ...], folder: Path
) -> dict[str, Any]:
    """Train a classifier of tags and write what it has seen of the missing classes.

    `names` are the images that need seeds. Writes `classifier.safetensors`, `seeds/NAME.png` at the
    working resolution for each of them, and `seeds.png`, a sheet for a person to look at. Returns
    the record of the stage.
    """
    dataset = job.dataset
    seeder = _seeder(job, settings, _trained_classifier(job, settings, folder))
    mine = job.mine(names)
    with progress("seeds", len(mine)) as advance:
        for name in mine:
            seeds = _seeds(seeder, settings, job.hinted(name))
            write_label_map(_file(folder, name), seeds, classes=len(dataset.classes))
            advance("")
    job.fabric.barrier()
    seeded = [read_label_map(_file(folder, n), classes=2**15, undeclared=-1) >= 0 for n in names]
    if job.fabric.is_global_zero and names:
        shown = evenly(names, SHEET_IMAGES)
        write_sheet(
            folder / "seeds.png",
            [_sheet_row(seeder, dataset.classes, job.hinted(n), _file(folder, n)) for n in shown],
        )
    share = sum(s.sum() for s in seeded) / max(1, sum(s.size for s in seeded))
    return {
        "steps": job.share(settings.steps, PART),
        "images": len(names),
        "seeded_pixels": round(float(share), 4),
    }


def _seeder(job: Job, settings: LocaliseSettings, model: TagClassifier) -> Seeder | AgreedSeeder:
    """Who makes the seeds; every rank looks at all images, and so all agree."""
    dataset = job.dataset
    alone = Seeder(
        model,
        settings,
        dataset.classes,
        side=job.settings.crop,
        boxes_complete=dataset.boxes_complete,
        device=job.fabric.device,
    )
    if not settings.agreement.rounds:
        return alone
    names = dataset.hinted_names()
    with progress("agreement", len(names)) as advance:

        def look() -> Iterator[Sample]:
            for name in names:
                yield job.hinted(name)
                advance("")

        return AgreedSeeder.learn(alone, look(), count=len(names), seed=job.settings.seed)


def with_seeds(load: Loader, folder: Path) -> Loader:
    """The same loader, with the seeds of `folder` on pixels without a label; tags stay as given."""

    def get(name: str) -> Sample:
        sample, file = load(name), _file(folder, name)
        if not file.exists():
            return sample
        weak = sample.weak
        seeds = read_label_map(file, classes=len(weak.tags), undeclared=UNLABELLED)
        seeds = resize_labels(seeds, *weak.labels.shape)
        labels = np.where(weak.labels == UNLABELLED, seeds, weak.labels)
        return replace(sample, weak=replace(weak, labels=labels.astype(weak.labels.dtype)))

    return get


def _file(folder: Path, name: str) -> Path:
    return folder / "seeds" / f"{name}.png"


def _trained_classifier(job: Job, settings: LocaliseSettings, folder: Path) -> TagClassifier:
    train, dataset, file = job.settings, job.dataset, folder / "classifier.safetensors"
    torch.manual_seed(train.seed)
    backbone = Backbone(train.backbone, output_stride=settings.output_stride)
    load_weights(backbone, train.weights)
    backbone.freeze(train.freeze, norm=train.freeze_norm)
    model = TagClassifier(backbone, dataset.classes, dropout=settings.dropout)

    def keep(which: str) -> None:
        del which  # no validation: there is only the last
        with replacing(file) as temporary:
            save_file({k: v.cpu().contiguous() for k, v in model.state_dict().items()}, temporary)

    if file.exists():  # an interruption came after the training
        model.load_state_dict(load_file(file))
        return model
    # Sizes are in crops, whatever the size of the files: how much of an image a crop shows decides
    # between a tag that is not in its crop and a map that takes in the surroundings.
    load = partial(load_hinted, dataset, size=train.crop)
    view = Augmentation(crop=train.crop, scale=settings.scale, jitter=train.jitter, hue=train.hue)
    names, steps = dataset.hinted_names(), job.share(settings.steps, PART)
    batches = Batches(job, names, load, steps=steps, view=view)
    lr = settings.lr_factor * train.lr
    train_network(job, TagLearner(model), folder, batches, keep=keep, lr=lr)
    return model


def _seeds(seeder: Seeder | AgreedSeeder, settings: LocaliseSettings, sample: Sample) -> LabelMap:
    """Seeds of the missing classes, less those that the image contradicts."""
    seeds = seeder.seeds(sample)
    if settings.crf is None:
        return seeds
    return supported_labels(sample.image, seeds, settings.crf, possible=~sample.weak.absent)


def _sheet_row(
    seeder: Seeder | AgreedSeeder, classes: ClassSet, sample: Sample, seeds: Path
) -> Row:
    """Image, hints, the first maps (light where the map is high) and the seeds of a file."""
    maps, labels = seeder.maps(sample)
    image = sample.image
    titles = [classes.names[label] for label in labels.tolist()]
    lit = [(image * (0.15 + 0.85 * m[..., None])).astype(np.uint8) for m in maps.numpy()]
    shown = [*zip(titles, lit, strict=True), *[("", np.zeros_like(image))] * SHEET_MAPS]
    found = overlay(image, read_label_map(seeds, classes=len(classes), undeclared=UNLABELLED))
    hints = drawn_hints(sample)
    return sheet_row(
        [(sample.name, image), ("hints", hints), *shown[:SHEET_MAPS], ("seeds", found)]
    )
