"""Seed, expand, constrain (Kolesnikov and Lampert, ECCV 2016, arXiv:1603.06098).

Functions of logits at any resolution. Probabilities have a floor, as published, so that every
logarithm is finite; what is VOID takes part in nothing; a batch without seeds, tags or pixels gives
an exact 0 that can be differentiated. Means are over the images of all ranks that have the term.

Shape shorthand: u cells of an image, n of them kept; p their floored probabilities.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.losses.means import mean_of_all, mean_of_rows

FLOOR = 1e-4
TINY = 1e-30  # of a probability, where no cell is kept
CELLS = 41 * 41
"""Of the published grid: a decay means the same share of an image at any number of cells."""

Logits = Float[Tensor, "batch classes height width"]
Kept = Bool[Tensor, "batch height width"]


def floored(probabilities: Logits, *, floor: float = FLOOR) -> Logits:
    """(p + floor) / sum_c (p + floor): positive, and still sums to one."""
    raised = probabilities + floor
    return raised / raised.sum(dim=1, keepdim=True)


def seed_loss(logits: Logits, labels: Int[Tensor, "batch height width"]) -> Float[Tensor, ""]:
    """Cross-entropy on the seeds, each image by the number of its own (eq. 2).

        L = -1/N sum_images 1/|S| sum_{u in S} log p_u[label_u],   S = {u : label_u >= 0}

    N images with seeds.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 2, 1, 3)
        >>> round(seed_loss(logits, torch.tensor([[[1, -1, -1]]])).item(), 3)
        0.693
    """
    seeded = labels >= 0
    chosen = labels.clamp(min=0)[:, None]
    logs = _chances(logits).log().gather(1, chosen)[:, 0]
    counts = seeded.flatten(1).sum(dim=1)
    sums = logs.where(seeded, 0.0).flatten(1).sum(dim=1)
    return -mean_of_all(sums / counts.clamp(min=1), counts > 0)


def expand_loss(
    logits: Logits,
    present: Bool[Tensor, "batch classes"],
    absent: Bool[Tensor, "batch classes"],
    kept: Kept,
    *,
    decays: Float[Tensor, " classes"],
    background: int | None = None,
) -> Float[Tensor, ""]:
    """What is present has a share of the image, what is absent has none (eq. 3 to 6).

        L = 1/N sum_images [ - mean_{c present} log G_c(q_c) - mean_{c absent} log(1 - max_u p_uc)
                             - log G_background(q_background) ]

    with G of `rank_pooled`; present and absent are without the background, whose term is there
    where it is present. A class that is neither has no term, an image without any known class or
    kept cell has none and is not among the N. Published: q = 0.996, for the background 0.999.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 2, 2, 2)
        >>> present, absent = torch.tensor([[True, False]]), torch.tensor([[False, True]])
        >>> kept = torch.ones(1, 2, 2, dtype=torch.bool)
        >>> loss = expand_loss(logits, present, absent, kept, decays=torch.tensor([0.996, 0.996]))
        >>> round(loss.item(), 3)  # log 2 for what is present, log 2 for what is absent
        1.386
    """
    probabilities = _chances(logits)
    logs = rank_pooled(probabilities, kept, decays=decays).clamp(min=TINY).log()
    highest = probabilities.masked_fill(~kept[:, None], 0.0).flatten(2).amax(dim=2)
    ground = torch.zeros_like(present)
    if background is not None:
        ground[:, background] = True
    terms = mean_of_rows(-logs, present & ~ground) + mean_of_rows(-logs, present & ground)
    terms = terms + mean_of_rows(-(1 - highest).clamp(min=FLOOR).log(), absent)
    counted = (present | absent).any(dim=1) & kept.flatten(1).any(dim=1)
    return mean_of_all(terms, counted)


def rank_pooled(
    maps: Logits, kept: Kept, *, decays: Float[Tensor, " classes"]
) -> Float[Tensor, "batch classes"]:
    """Global weighted rank pooling over the kept cells (eq. 4).

        G_c(q) = sum_r q^r p_(r)c / sum_r q^r,   p_(0)c >= p_(1)c >= ...

    between the maximum (q = 0) and the mean (q = 1). `decays` are those of a grid of 41 x 41 cells:
    on n kept cells q^(1681 / n) takes their place, with the same share of the cells behind it.
    Zero where no cell is kept.
    """
    counts = kept.flatten(1).sum(dim=1)
    ordered = maps.masked_fill(~kept[:, None], -torch.inf).flatten(2).sort(descending=True).values
    rank = torch.arange(ordered.shape[2], device=maps.device)
    counted = (rank < counts[:, None])[:, None]
    own = decays.to(maps) ** (CELLS / counts.clamp(min=1).to(maps.dtype))[:, None]
    weights = (own[:, :, None] ** rank).where(counted, 0.0)
    sums = (weights * ordered.where(counted, 0.0)).sum(dim=2)
    return sums / weights.sum(dim=2).where(counts[:, None] > 0, 1.0)


def constrain_loss(logits: Logits, refined: Logits, kept: Kept) -> Float[Tensor, ""]:
    """Divergence from what a refiner made of these probabilities and the image (eq. 7).

        L = 1/N sum_images 1/n sum_u sum_c Q_uc log(Q_uc / p_uc)

    Q are the refined probabilities, floored; they are constant: no gradient passes through them.

    Example:
        >>> import torch
        >>> logits = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
        >>> round(constrain_loss(logits, logits, torch.ones(1, 2, 2, dtype=torch.bool)).item(), 3)
        nan
    """
    logs = _chances(logits).log()
    wanted = floored(refined.detach().to(logs))
    divergence = (wanted * (wanted.log() - logs)).sum(dim=1).where(kept, 0.0)
    counts = kept.flatten(1).sum(dim=1)
    sums = divergence.flatten(1).sum(dim=1)
    return mean_of_all(sums / counts.clamp(min=1), counts > 0)


def _chances(logits: Logits) -> Logits:
    """Floored probabilities, in float32 or better."""
    return floored(logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=1))
