"""Seeds for classes that a hint names but does not show: tags without a pixel, and boxes.

The maps of a localiser, cut by two thresholds, are the seeds (Ahn and Kwak 2018, arXiv:1803.10464;
boxes as in Ke et al. 2021, arXiv:2105.00957).
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.data.coverage import Coverage, coverage_of, total_coverage
from hintseg.data.dataset import Dataset
from hintseg.data.samples import Loader
from hintseg.engine.stages import Stage
from hintseg.errors import DataWarning, RunError
from hintseg.files import read_json
from hintseg.images.label_maps import overlay, read_label_map, write_label_map
from hintseg.methods.contact_sheet import Row, drawn_hints, sheet_row, write_sheet
from hintseg.methods.job import Job, spaced
from hintseg.methods.localise.agreed import AgreedSeeder, gathered_cells, some_cells
from hintseg.methods.localise.checks import placeless, seed_doubts
from hintseg.methods.localise.classifier import STEPS_SHARE, ClassifierLocaliser
from hintseg.methods.localise.cue import background_cue
from hintseg.methods.localise.curve import threshold_curve
from hintseg.methods.localise.expand import Expansion
from hintseg.methods.localise.fused import FusedSeeder
from hintseg.methods.localise.localiser import Localiser
from hintseg.methods.localise.regional import RegionalLocaliser
from hintseg.methods.localise.seam import SeamLocaliser
from hintseg.methods.localise.seeder import Expander, Seeder, missing_classes
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.localise.sub_categories import SubCategoryLocaliser
from hintseg.predict.refining import supported_labels
from hintseg.resize import resize_labels
from hintseg.seeds.agreement import Cells
from hintseg.shares import evenly
from hintseg.structures import UNLABELLED, ClassSet, LabelMap, Sample, WeakLabels

LOCALISERS = {
    "cam": ClassifierLocaliser,
    "seam": SeamLocaliser,
    "sc_cam": SubCategoryLocaliser,
    "rca": RegionalLocaliser,
}
AnySeeder = Seeder | AgreedSeeder | FusedSeeder
SHEET_IMAGES, SHEET_MAPS = 8, 2  # on the contact sheet: images, and maps of each


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
    wanted = job.share(settings.steps, STEPS_SHARE)
    asking = images_needing_seeds(job.dataset, job.weak) if wanted else ()
    return spaced(asking, settings.images)


def seed_stages(job: Job, settings: LocaliseSettings, name: str) -> tuple[Stage, ...]:
    """The stage of that name where the hints name a class that they do not show, or none."""
    unseen = unseen_images(job, settings)
    return (Stage(name, partial(localise, job, settings, unseen)),) if unseen else ()


def localise(
    job: Job,
    settings: LocaliseSettings,
    names: tuple[str, ...],
    folder: Path,
    *,
    localiser: Localiser | None = None,
) -> dict[str, Any]:
    """Train a localiser and write what it has seen of the missing classes.

    `names` are the images that need seeds; the localiser is a classifier of tags by default. Beside
    what the localiser keeps, `folder` gets `seeds/NAME.png` at the working resolution for each of
    them, and `seeds.png`, a sheet for a person to look at. Returns the record of the stage.
    """
    dataset, found = job.dataset, localiser or LOCALISERS[settings.by](settings)
    found.fit(job, folder)
    expand = None
    if settings.expand.by != "none":
        expand = Expansion(settings, dataset.classes, found)
        expand.fit(job, folder / settings.expand.by)
    seeder = _seeder(job, settings, found, expand)

    def write(name: str) -> None:
        seeds = _seeds(seeder, settings, job.hinted(name))
        write_label_map(_file(folder, name), seeds, classes=len(dataset.classes))

    for _ in job.over(names, write, "seeds"):
        pass
    job.fabric.barrier()
    share, doubts = _judged(job, folder, names)
    curve = threshold_curve(job, found) if job.fabric.is_global_zero and names else {}
    if job.fabric.is_global_zero and names:
        shown = evenly(names, SHEET_IMAGES)
        write_sheet(
            folder / "seeds.png",
            [_sheet_row(seeder, dataset.classes, job.hinted(n), _file(folder, n)) for n in shown],
        )
    return {
        "by": settings.by,
        "expand": settings.expand.by,
        "rule": "fusion" if fuses(settings, dataset.classes) else "cut",
        "steps": job.share(settings.steps, STEPS_SHARE),
        "images": len(names),
        "seeded_pixels": round(share, 4),
        "split": "train",
        "tag_source": "given",  # by a person; no seeds are made of predicted tags
        "threshold_source": "settings",  # the curve below is measured, never chosen from
        "doubts": doubts,
        "curve": curve,
    }


def fuses(settings: LocaliseSettings, classes: ClassSet) -> bool:
    """Whether seeds are fused: a saliency map speaks of a background, so there must be one."""
    return settings.rule == "fusion" and classes.background is not None


def _judged(job: Job, folder: Path, names: tuple[str, ...]) -> tuple[float, list[str]]:
    """Share of the pixels with seeds, and what makes the seeds implausible; said in one line."""
    classes = job.dataset.classes

    def look(name: str) -> Coverage:
        return coverage_of(_stored(folder, name, len(classes)), len(classes))

    seen = job.over(names, look, "seeds, looked at", every=True)
    seeds = total_coverage(seen, len(classes))
    tagged = sorted({label for name in names for label in job.dataset.hints(name).tags})
    doubts = seed_doubts(seeds, tagged, classes)
    if doubts and job.fabric.is_global_zero:
        what = "; ".join(doubts)
        warnings.warn(
            f"{folder / 'seeds.png'}: seeds are in doubt: {what}; a few clicks in some images help",
            DataWarning,
            stacklevel=2,
        )
    return 1 - seeds.share_without if seeds.total else 0.0, doubts


def _seeder(
    job: Job, settings: LocaliseSettings, localiser: Localiser, expand: Expander | None
) -> AnySeeder:
    """Who makes the seeds; every rank looks at all images, and so all agree."""
    dataset = job.dataset
    alone = Seeder(
        localiser,
        settings,
        dataset.classes,
        boxes_complete=dataset.boxes_complete,
        expand=expand,
        placeless=placeless(dataset),
        cue=background_cue(settings, job.fabric.device),
    )
    if fuses(settings, dataset.classes):
        return FusedSeeder(alone)
    if not settings.agreement.rounds:
        return alone
    names = spaced(dataset.hinted_names(), settings.images)
    numbers = {name: number for number, name in enumerate(names)}
    draw = partial(some_cells, alone, count=len(names), seed=job.settings.seed)

    def look(name: str) -> Cells:
        return draw(job.hinted(name), numbers[name])

    few = len(names) < job.fabric.world_size  # some ranks would have none
    looks = list(job.over(names, look, "agreement", every=few))
    if not few:
        looks = gathered_cells(looks, len(names), job.fabric.device)
    return AgreedSeeder.of_cells(alone, looks, seed=job.settings.seed)


def with_seeds(load: Loader, folder: Path) -> Loader:
    """The same loader, with the seeds of `folder` on pixels without a label; tags stay as given.

    Without a finished stage in the folder, and for images that needed no seeds, nothing changes.

    Raises:
        RunError: Seeds that the stage made are missing.
    """
    _check_complete(folder)

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


def _check_complete(folder: Path) -> None:
    if not (folder / "manifest.json").exists():
        return
    made = read_json(folder / "manifest.json")["images"]
    found = sum(1 for _ in (folder / "seeds").rglob("*.png"))
    if found < made:
        raise RunError(
            f"{folder / 'seeds'}: {made - found} of {made} seeds are missing; delete the folder "
            f"{folder} and continue with --resume to have them made again"
        )


def _stored(folder: Path, name: str, classes: int) -> LabelMap:
    return read_label_map(_file(folder, name), classes=classes, undeclared=UNLABELLED)


def _file(folder: Path, name: str) -> Path:
    return folder / "seeds" / f"{name}.png"


def _seeds(seeder: AnySeeder, settings: LocaliseSettings, sample: Sample) -> LabelMap:
    """Seeds of the missing classes, less those that the image contradicts."""
    seeds = seeder.seeds(sample)
    if settings.crf is None or isinstance(seeder, FusedSeeder):  # it has asked the CRF
        return seeds
    return supported_labels(sample.image, seeds, settings.crf, possible=~sample.weak.absent)


def _sheet_row(seeder: AnySeeder, classes: ClassSet, sample: Sample, seeds: Path) -> Row:
    """Image, hints, the first maps (light where the map is high) and the seeds of a file."""
    seen, image = seeder.maps(sample), sample.image
    titles = [classes.names[label] for label in seen.labels.tolist()]
    lit = [(image * (0.15 + 0.85 * m[..., None])).astype(np.uint8) for m in seen.maps.numpy()]
    shown = [*zip(titles, lit, strict=True), *[("", np.zeros_like(image))] * SHEET_MAPS]
    found = overlay(image, read_label_map(seeds, classes=len(classes), undeclared=UNLABELLED))
    hints = drawn_hints(sample)
    return sheet_row(
        [(sample.name, image), ("hints", hints), *shown[:SHEET_MAPS], ("seeds", found)]
    )
