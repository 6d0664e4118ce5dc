"""The stages of SPML: localise, embed, relabel, classify, prototypes.

Each leaves its results in its own folder of the run. Localise is left out where the hints show
every class that they name, relabel and classify where the settings say so.
"""

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from hintseg.data.samples import Loader, load_hinted, load_masked, with_labels, with_regions
from hintseg.engine.stages import Stage
from hintseg.files import read_json
from hintseg.images import write_label_map
from hintseg.losses.pixelwise import labelled_cross_entropy
from hintseg.methods.job import Job
from hintseg.methods.localise import images_needing_seeds, localise, with_seeds
from hintseg.methods.network import Batches, Forgetful, train_segmenter
from hintseg.methods.spml import SPML
from hintseg.methods.spml_settings import SPMLSettings
from hintseg.models.embedder import Segmenter, upsample
from hintseg.models.saved import load_model
from hintseg.predict.pseudo import doubtless, pseudo_scores
from hintseg.progress import progress
from hintseg.regions import load_regions, make_regions
from hintseg.structures import Batch

LOCALISE, EMBED, RELABEL, CLASSIFY = "localise", "embed", "relabel", "classify"


def spml_stages(job: Job) -> tuple[Stage, ...]:
    """What this job needs of the stages, in order."""
    settings = spml_settings(job)
    stages = [Stage(EMBED, partial(_embed, job))]
    if settings.labels == "hints" and settings.localise.steps and _some_need_seeds(job):
        stages.insert(0, Stage(LOCALISE, partial(localise, job, settings.localise)))
    for turn in range(settings.relabel.rounds):
        before = _numbered(CLASSIFY, turn - 1) if turn else EMBED
        relabel, classify = _numbered(RELABEL, turn), _numbered(CLASSIFY, turn)
        stages.append(Stage(relabel, partial(_relabel, job, before)))
        stages.append(Stage(classify, partial(_classify, job, before, relabel)))
    return tuple(stages)


def spml_settings(job: Job) -> SPMLSettings:
    """The settings of SPML in a job."""
    assert isinstance(job.method_settings, SPMLSettings)
    return job.method_settings


class PseudoLearner(Forgetful):
    """The classifier alone, or the whole network, on pseudo labels."""

    def __init__(self, model: Segmenter, *, frozen: bool) -> None:
        self.model, self.frozen = model, frozen
        self.pretrained = model.embedder
        if frozen:
            model.embedder.requires_grad_(False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy at full resolution; a frozen embedder keeps its batch statistics."""
        if self.frozen:
            self.model.embedder.eval()
        logits = upsample(self.model(batch.images), *batch.labels.shape[-2:])
        return {"cross_entropy": labelled_cross_entropy(logits, batch.labels)}


def _numbered(stage: str, turn: int) -> str:
    return f"{stage}-{turn + 1}" if turn else stage


def _some_need_seeds(job: Job) -> bool:
    settings = job.settings
    return bool(
        images_needing_seeds(
            job.dataset,
            settings.size,
            point_radius=settings.point_radius,
            scribble_width=settings.scribble_width,
        )
    )


def _loader(job: Job) -> Loader:
    """Samples with what is known of them: masks, or hints and the seeds made of them."""
    settings, dataset = job.settings, job.dataset
    if spml_settings(job).labels == "masks":
        return partial(load_masked, dataset, size=settings.size)
    load = partial(
        load_hinted,
        dataset,
        size=settings.size,
        point_radius=settings.point_radius,
        scribble_width=settings.scribble_width,
    )
    return with_seeds(load, job.run.stage_folder(LOCALISE))


def _names(job: Job) -> tuple[str, ...]:
    """All images of the train split: those without hints take part in image similarity."""
    return job.dataset.names("train")


def _embed(job: Job, folder: Path) -> dict[str, Any]:
    settings, load, names = spml_settings(job), _loader(job), _names(job)
    if settings.relations.similarity:
        load = _with_regions(job, load, names)
    learner = SPML(job.segmenter(), settings, background=job.dataset.classes.background)
    record = train_segmenter(job, learner, folder, Batches(job, names, load))
    return {**record, "images": len(names)}


def _chosen(job: Job, stage: str) -> Segmenter:
    """The model that a finished stage chose."""
    folder = job.run.stage_folder(stage)
    which = read_json(folder / "manifest.json")["model"]
    return load_model(folder / which)[0].to(job.fabric.device)


def _relabel(job: Job, before: str, folder: Path) -> dict[str, Any]:
    """Pseudo labels of all images with hints, by the model of the stage before."""
    settings, load = spml_settings(job).relabel, _loader(job)
    names = tuple(name for name in _names(job) if job.dataset.has_hints(name))
    model = _chosen(job, before)
    mine = names[job.fabric.global_rank :: job.fabric.world_size]
    labelled = pixels = 0
    with progress(folder.name, len(mine)) as advance:
        for name in mine:
            sample = load(name)
            scores = pseudo_scores(
                model,
                sample.image,
                sample.weak,
                steps=settings.steps,
                sharpness=settings.sharpness,
            )
            labels = doubtless(scores, sample.weak, confidence=settings.confidence)
            write_label_map(
                folder / "labels" / f"{name}.png", labels, classes=len(job.dataset.classes)
            )
            labelled, pixels = labelled + int((labels >= 0).sum()), pixels + labels.size
            advance("")
    job.fabric.barrier()
    return {"images": len(names), "labelled_pixels": round(labelled / max(1, pixels), 4)}


def _classify(job: Job, before: str, relabel: str, folder: Path) -> dict[str, Any]:
    settings = spml_settings(job).classify
    labels = job.run.stage_folder(relabel) / "labels"
    load = with_labels(_loader(job), labels, classes=len(job.dataset.classes))
    names = tuple(name for name in _names(job) if job.dataset.has_hints(name))
    learner = PseudoLearner(_chosen(job, before), frozen=settings.frozen)
    batches = Batches(job, names, load, steps=settings.steps)
    return train_segmenter(job, learner, folder, batches, lr=settings.lr)
