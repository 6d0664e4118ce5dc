"""The stages of SPML: localise, embed, relabel, classify, prototypes.

Each leaves its results in its own folder of the run. Localise is left out where the hints show
every class that they name, relabel and classify where the settings say so.
"""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.data.samples import Loader, with_grown_labels, with_labels, with_regions
from hintseg.data.transforms import Augmentation
from hintseg.distributed import total
from hintseg.engine.stages import Stage
from hintseg.hints.raster import THIN
from hintseg.images.label_maps import write_label_map
from hintseg.images.names import NamedFiles
from hintseg.methods.contact_sheet import label_row, write_sheet
from hintseg.methods.cross_entropy.recipe import CrossEntropy
from hintseg.methods.fitting import Batches, chosen_model, train_segmenter
from hintseg.methods.job import Job, Recipe, spaced
from hintseg.methods.localise.cue import cue_supervision
from hintseg.methods.localise.stage import localise, unseen_images, with_seeds
from hintseg.methods.spml import CLASSIFY, EMBED, LOCALISE, PROTOTYPES, RELABEL
from hintseg.methods.spml.checks import check_terms, train_images
from hintseg.methods.spml.comparing import compared_on_val
from hintseg.methods.spml.learner import RelationLearner
from hintseg.methods.spml.settings import SPMLSettings
from hintseg.methods.supervision import Supervision, masks_of
from hintseg.models.embedder import Segmenter
from hintseg.models.finite import scores_of
from hintseg.predict.pseudo_labels import confident_labels, pseudo_scores, refined
from hintseg.predict.retrieval.index import PrototypeIndex, save_prototypes
from hintseg.predict.retrieval.joining import gathered_index, joined
from hintseg.predict.retrieval.votes import build_prototypes
from hintseg.regions.demand import regions_on_demand
from hintseg.regions.files import read_edges, read_regions
from hintseg.regions.partition import regions_from_edges
from hintseg.shares import evenly
from hintseg.structures import Batch

REGIONS = "regions"  # folder of what is made once for all
CLASSIFY_PART = 0.2  # of the steps of the run, where seeds are in doubt
SHEET_IMAGES = 8  # on a contact sheet


def spml_stages(job: Job[SPMLSettings]) -> tuple[Stage, ...]:
    """What this job needs of the stages, in order."""
    settings = job.method_settings
    stages = [Stage(EMBED, partial(_embed, job))]
    unseen = _unseen(job)
    if unseen:
        stages.insert(0, Stage(LOCALISE, partial(localise, job, settings.localise, unseen)))
    steps = job.share(settings.classify.steps, CLASSIFY_PART if unseen else 0.0)
    last, labels = EMBED, None
    for turn, by in enumerate(settings.relabel.rounds):
        relabel, classify = _numbered(RELABEL, turn), _numbered(CLASSIFY, turn)
        stages.append(Stage(relabel, partial(_relabel, job, last, labels, by)))
        if steps:
            stages.append(Stage(classify, partial(_classify, job, last, relabel, steps)))
            last = classify
        labels = relabel
    stages.append(Stage(PROTOTYPES, partial(_prototypes, job, last, labels)))
    return tuple(stages)


def _unseen(job: Job[SPMLSettings]) -> tuple[str, ...]:
    """The images that get seeds."""
    settings = job.method_settings
    return unseen_images(job, settings.localise) if settings.labels == "hints" else ()


class PseudoLearner(CrossEntropy):
    """The classifier alone, or the whole network, on pseudo labels."""

    def __init__(self, model: Segmenter, *, frozen: bool) -> None:
        super().__init__(model)
        self.pretrained, self.frozen = model.embedder, frozen
        if frozen:
            model.embedder.requires_grad_(False)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """As before; a frozen embedder keeps its batch statistics."""
        if self.frozen:
            self.model.embedder.eval()
        return super().losses(batch, step)


def _numbered(stage: str, turn: int) -> str:
    return f"{stage}-{turn + 1}" if turn else stage


def _loader(job: Job[SPMLSettings], *, zoom: float = 1.0) -> Loader:
    """Samples with what is known of them: masks, or hints and the seeds made of them."""
    return _seeded(job, _given(job, zoom=zoom))


def _given(job: Job[SPMLSettings], *, zoom: float = 1.0) -> Loader:
    """Samples with what a person said of them: masks, or hints."""
    masks = job.method_settings.labels == "masks"
    return partial(job.masked if masks else job.hinted, zoom=zoom)


def _seeded(job: Job[SPMLSettings], load: Loader) -> Loader:
    if job.method_settings.labels == "masks":
        return load
    return with_seeds(load, job.run.stage_folder(LOCALISE))


def _labelled(job: Job[SPMLSettings], relabel: str | None, *, zoom: float = 1.0) -> Loader:
    """Samples with the pseudo labels of a stage; None: with what the hints label."""
    load = _loader(job, zoom=zoom)
    if relabel is None:
        return load
    folder = job.run.stage_folder(relabel) / "labels"
    return with_labels(load, folder, classes=len(job.dataset.classes))


def _index(
    job: Job[SPMLSettings], model: Segmenter, labels: str | None, *, masks: bool
) -> PrototypeIndex:
    """The segments of the train images as prototypes.

    Labelled by dense masks, by the pseudo labels of a stage, or by what the hints label.
    """
    settings = job.method_settings
    if masks:
        names = job.dataset.with_masks(_names(job))
        load: Loader = partial(job.masked, zoom=job.zoom)
    else:
        names = _hinted(job) if labels is None else _relabelled(job)
        load = _labelled(job, labels, zoom=job.zoom)
    names = spaced(names, settings.retrieval.images)

    known = partial(
        build_prototypes,
        model,
        grid=settings.retrieval.grid,
        iterations=settings.iterations,
        labelled_by="masks" if masks else settings.labels if labels is None else "pseudo labels",
    )

    def look(name: str) -> PrototypeIndex:
        return known([(name, job.dataset.image(name), load(name).weak.labels)])

    model.eval()  # before several threads look
    own = joined((known([]), *job.over(names, look, "segments")))
    return gathered_index(own, names, job.fabric.device)


def _hinted(job: Job[SPMLSettings]) -> tuple[str, ...]:
    """The train images of which something is known."""
    if job.method_settings.labels == "masks":
        return _names(job)
    return job.dataset.hinted_names()


def _relabelled(job: Job[SPMLSettings]) -> tuple[str, ...]:
    """Those of them that get pseudo labels."""
    return spaced(_hinted(job), job.method_settings.relabel.images)


def _names(job: Job[SPMLSettings]) -> tuple[str, ...]:
    """All train images: those without hints take part in image similarity."""
    return train_images(job.dataset, job.method_settings)


def _embed(job: Job[SPMLSettings], folder: Path) -> dict[str, Any]:
    settings, names = job.method_settings, _names(job)
    with ExitStack() as open_while_it_learns:
        load = _given(job)
        if settings.relations.similarity or settings.spread:
            load = _with_regions(job, load, open_while_it_learns)
        if settings.spread:  # hints alone: where there is no seed, none was sure
            load = with_grown_labels(load, partial(job.weak, brush=THIN))
        load = _seeded(job, load)
        background = job.dataset.classes.background
        learner = RelationLearner(job.segmenter(), settings, background=background)
        validate = settings.classifier > 0  # an untrained classifier says nothing of the embedding
        batches = Batches(job, names, load)
        record = train_segmenter(job, learner, folder, batches, validate=validate)
    return {**record, "images": len(names)}


def _with_regions(job: Job[SPMLSettings], load: Loader, stack: ExitStack) -> Loader:
    """Samples with their regions: the user's, or made once and kept in the run folder."""
    dataset, settings = job.dataset, job.method_settings.regions
    if settings.maps is not None:
        maps = NamedFiles(Path(settings.maps))
        return with_regions(
            load, lambda name: read_regions(maps.path(name, ".png"), dataset.size(name))
        )
    if settings.edges is not None:
        edges = NamedFiles(Path(settings.edges))
        return with_regions(
            load,
            lambda name: regions_from_edges(
                read_edges(edges.path(name, ".png"), dataset.size(name)), count=settings.count
            ),
        )
    regions = regions_on_demand(
        dataset.image,
        job.run.stage_folder(REGIONS),
        count=settings.count,
        longer_side=job.settings.size,
        workers=job.settings.threads,
    )
    return with_regions(load, stack.enter_context(regions))


def _relabel(
    job: Job[SPMLSettings], before: str, labels: str | None, by: str, folder: Path
) -> dict[str, Any]:
    """Pseudo labels of all images with hints, by the model of the stage before."""
    settings, load = job.method_settings.relabel, _loader(job, zoom=job.zoom)
    names, classes = _relabelled(job), len(job.dataset.classes)
    model = chosen_model(job, before).eval()
    index = _index(job, model, labels, masks=False) if by == "retrieval" else None

    def label(name: str) -> float:
        sample = load(name)
        with scores_of(name):
            scores = pseudo_scores(
                model, sample, steps=settings.steps, sharpness=settings.sharpness, index=index
            )
        if settings.crf is not None:
            scores = refined(scores, sample, settings.crf)
        sure = confident_labels(scores, sample.weak, confidence=settings.confidence)
        write_label_map(folder / "labels" / f"{name}.png", sure, classes=classes)
        return float((sure >= 0).mean())

    shares = torch.zeros((), device=job.fabric.device)
    shares += sum(job.over(names, label, folder.name))
    job.fabric.barrier()
    if job.fabric.is_global_zero:
        shown = [load(name) for name in evenly(names, SHEET_IMAGES)]
        labelled = with_labels(load, folder / "labels", classes=classes)
        write_sheet(folder / "labels.png", [label_row(s, labelled(s.name)) for s in shown])
    share = float(total(shares)) / len(names)
    return {"images": len(names), "by": by, "labelled_pixels": round(share, 4)}


def _classify(
    job: Job[SPMLSettings], before: str, relabel: str, steps: int, folder: Path
) -> dict[str, Any]:
    """The classifier, or the whole network, on the pseudo labels."""
    settings = job.method_settings.classify
    learner = PseudoLearner(chosen_model(job, before), frozen=settings.frozen)
    train, (low, high) = job.settings, (job.zoom * factor for factor in settings.scale)
    batches = Batches(
        job,
        _relabelled(job),
        _labelled(job, relabel),
        steps=steps,
        view=Augmentation(crop=train.crop, scale=(low, high), jitter=train.jitter, hue=train.hue),
    )
    return train_segmenter(job, learner, folder, batches, lr=settings.lr)


def _prototypes(
    job: Job[SPMLSettings], last: str, relabel: str | None, folder: Path
) -> dict[str, Any]:
    """The segments of the train images with their labels, for prediction by retrieval."""
    masks = job.method_settings.retrieval.masks
    model = chosen_model(job, last)
    index = _index(job, model, relabel, masks=masks)
    found = {"prototypes": len(index), "images": len(index.names)}
    if not job.fabric.is_global_zero:
        return found
    val = compared_on_val(job, model, index) if job.method_settings.classifier else {}
    best = max(val, key=lambda by: val[by]) if val else index.best
    save_prototypes(job.run.root, replace(index, best=best))
    return {**found, "labelled_by": index.labelled_by, "val_miou": val, "best": best}


def _sees(dataset: Dataset, settings: SPMLSettings) -> Supervision:
    """Hints or masks, and the cues that the settings name."""
    names, beyond = train_images(dataset, settings), []
    if settings.labels == "masks":
        beyond.append(masks_of(names, dataset, "what it learns from"))
    if settings.retrieval.masks:
        beyond.append(masks_of(names, dataset, "they name the segments for retrieval"))
    if settings.regions.edges is not None:
        beyond.append(f"edge maps of {settings.regions.edges}")
    if settings.regions.maps is not None:
        beyond.append(f"region maps of {settings.regions.maps}")
    beyond += cue_supervision(dataset, settings.localise)
    return Supervision(dataset.hinted_names() if settings.labels == "hints" else (), beyond)


RECIPE = Recipe(
    stages=spml_stages,
    check=check_terms,
    sees=_sees,
    settings=SPMLSettings,
    unit=True,
)
