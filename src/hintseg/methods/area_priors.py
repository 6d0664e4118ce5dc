"""A classifier that has learned from hints is told how large the classes really are.

Hints follow things, not areas: a street has thirty clicks on poles and one on the road, and a
classifier that learns from them expects poles everywhere. What it expects can be put right without
any label: by its own probabilities of all pixels of the images (`refine.priors`).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hintseg.data.samples import Loader
from hintseg.methods.contact_sheet import evenly
from hintseg.methods.job import Job
from hintseg.models.embedder import Segmenter
from hintseg.progress import progress
from hintseg.refine.priors import estimate_priors
from hintseg.resize import fit_size, resize_image
from hintseg.structures import Sample

IMAGES = 100  # that are looked at, at most
CELLS = 1000  # of an image, drawn at random: their neighbours say the same
FARTHEST = 4.0  # most that a logit moves


def adjust_to_areas(
    job: Job, model: Segmenter, load: Loader, names: tuple[str, ...]
) -> list[float]:
    """Move the bias of the last layer to the shares that the classes have of the images.

    Args:
        job: Says the size at which the model predicts.
        model: Has learned from the labels that `load` gives.
        load: Images with the labels that the model has learned from.
        names: Images with hints.

    Returns:
        By how much the logit of each class was moved.
    """
    shift = _log_ratio(job, model, load, names).clamp(-FARTHEST, FARTHEST)
    last = model.classifier[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.bias += shift.to(last.bias)
    return [round(value, 4) for value in shift.tolist()]


def _log_ratio(
    job: Job, model: Segmenter, load: Loader, names: tuple[str, ...]
) -> Float[Tensor, " classes"]:
    """Log q / p: of the areas, of the labels; 0 for a class without labels."""
    classes, seen = len(job.dataset.classes), []
    counts = torch.zeros(classes)
    some = evenly(names, IMAGES)
    with progress("areas", len(some)) as advance:
        for name in some:
            sample = load(name)
            labels = torch.from_numpy(sample.weak.labels).flatten().long()
            counts += torch.bincount(labels[labels >= 0], minlength=classes)
            seen.append(_probabilities(job, model, sample))
            advance("")
    if not counts.sum() or not seen:
        return torch.zeros(classes)
    trained = counts / counts.sum()
    areas = estimate_priors(torch.cat(seen), trained)
    ratio = areas.clamp(min=torch.finfo(areas.dtype).tiny) / trained
    return ratio.log().where(trained > 0, 0.0)


@torch.inference_mode()
def _probabilities(job: Job, model: Segmenter, sample: Sample) -> Float[Tensor, "cells classes"]:
    """Of some cells of an image, of the classes that can be in it."""
    device = next(model.parameters()).device
    size, image = job.settings.size, job.dataset.image(sample.name)
    height, width = fit_size(image.shape[0], image.shape[1], size, zoom=job.zoom)
    larger = resize_image(image, height, width)
    pixels = torch.from_numpy(larger.transpose(2, 0, 1).copy())[None].to(device)
    cells = model(pixels)[0].float().softmax(dim=0).flatten(1).T.cpu()
    drawn = torch.Generator().manual_seed(job.settings.seed)
    cells = cells[torch.randperm(len(cells), generator=drawn)[:CELLS]]
    possible = torch.from_numpy(~sample.weak.absent)
    cells = cells * (possible if possible.any() else torch.ones_like(possible))
    sums: Tensor = cells.sum(dim=1, keepdim=True)
    shares: Tensor = cells / sums.clamp(min=torch.finfo(cells.dtype).tiny)
    return shares
