"""Sizes and boundaries: the terms of SEC (arXiv:1603.06098) that are not its seeds."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from hintseg.losses.sec import constrain_loss, expand_loss
from hintseg.methods.settings import Settings, Share
from hintseg.models.embedder import Embedder
from hintseg.pooling import pool_images
from hintseg.refine.crf import CrfPreset, dense_crf_logits
from hintseg.refine.walks import embedding_walk
from hintseg.structures import VOID, Batch

Maps = Float[Tensor, "batch _ rows columns"]
Cells = Int[Tensor, "batch rows columns"]
GRID = 41  # cells a side in the paper: what it says of its CRF in cells, in parts of a crop


class CRFSettings(Settings):
    """The dense CRF that constrains; its kernels are normalised symmetrically."""

    steps: int = Field(10, ge=0, description="iterations of mean field")
    bilateral: float = Field(10.0, ge=0, description="weight of the bilateral kernel")
    sxy: float = Field(80 / 12 / GRID, gt=0, description="its deviation of place, in crops")
    srgb: float = Field(13.0, gt=0, description="its deviation of colour, 0 to 255")
    gaussian: float = Field(3.0, ge=0, description="weight of the Gaussian kernel")
    smooth: float = Field(3 / 12 / GRID, gt=0, description="its deviation, in crops")


class WalkSettings(Settings):
    """The random walk on embeddings that constrains."""

    steps: int = Field(8, ge=0)
    sharpness: float = Field(100.0, ge=0, description="sharpness of the transitions")


class SizeAndBoundarySettings(Settings):
    """Both terms; the numbers are those of Kolesnikov and Lampert 2016, as released."""

    expand: float = Field(1.0, ge=0, description="weight of the expand loss (sizes of classes)")
    constrain: float = Field(1.0, ge=0, description="weight of the constrain loss (boundaries)")
    decay: Share = Field(0.996, description="decay of rank pooling; 1: mean, 0: maximum")
    background_decay: Share = Field(0.999, description="decay of rank pooling for the background")
    refiner: Literal["crf", "walk"] = Field("crf", description="refiner that draws the boundaries")
    crf: CRFSettings = CRFSettings()
    walk: WalkSettings = WalkSettings()


def size_and_boundary_losses(
    settings: SizeAndBoundarySettings,
    batch: Batch,
    embeddings: Maps,
    logits: Maps,
    labels: Cells,
    *,
    background: int | None = None,
) -> dict[str, Tensor]:
    """The weighted terms of the settings, by name, on cells with these labels.

    Absent classes are pooled by their maximum, present ones by rank; the refiner gets no gradient.
    """
    losses = {}
    if settings.expand:
        loss = _expand(settings, logits, labels, batch.absent, background)
        losses["expand"] = settings.expand * loss
    if settings.constrain:
        seen = embeddings.detach(), logits.detach()
        if settings.refiner == "crf":
            refined = refined_by_crf(settings.crf, batch, seen[1])
        else:
            refined = refined_by_walk(settings.walk, *seen)
        losses["constrain"] = settings.constrain * constrain_loss(logits, refined, labels != VOID)
    return losses


def _expand(
    settings: SizeAndBoundarySettings,
    logits: Maps,
    labels: Cells,
    absent: Bool[Tensor, "batch classes"],
    background: int | None,
) -> Tensor:
    """A view may show a part of an image only: present is what has a seed in the view."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    seen = (labels[:, None] == classes[:, None, None]).flatten(2).any(dim=2)
    decays = torch.full(classes.shape, settings.decay, device=logits.device)
    if background is not None:
        decays[background] = settings.background_decay
    kept = labels != VOID
    return expand_loss(logits, seen, absent & ~seen, kept, decays=decays, background=background)


def refined_by_crf(settings: CRFSettings, batch: Batch, logits: Maps) -> Maps:
    """Marginals of a dense CRF on the logits and the raw colours of their cells."""
    images, kept = pool_images(batch.images, batch.labels != VOID, Embedder.stride)
    side = max(images.shape[-2:])
    numbers = CrfPreset(
        gaussian=settings.gaussian,
        gaussian_sxy=settings.smooth * side,
        bilateral=settings.bilateral,
        bilateral_sxy=settings.sxy * side,
        bilateral_srgb=settings.srgb,
        iterations=settings.steps,
    )
    finite = logits.float().nan_to_num()  # the loss says so if they are not
    return dense_crf_logits(images, finite, preset=numbers, kept=kept)


def refined_by_walk(settings: WalkSettings, embeddings: Maps, logits: Maps) -> Maps:
    """A random walk on the embeddings of each image; padding is walked through as well."""
    steps, sharpness = settings.steps, settings.sharpness
    scores = logits.float().softmax(dim=1)
    walks = (
        embedding_walk(own[None].float(), score, steps=steps, sharpness=sharpness)
        for own, score in zip(embeddings, scores, strict=True)
    )
    return torch.stack(list(walks))
