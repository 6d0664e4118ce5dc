"""Pseudo labels: what a model says of an image whose hints are known."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.models.embedder import Segmenter, upsample
from hintseg.models.finite import check_scores
from hintseg.pooling import pool_labels
from hintseg.predict.refining import crf_scores
from hintseg.predict.retrieval.index import PrototypeIndex
from hintseg.predict.retrieval.votes import voted_scores
from hintseg.predict.views import STRIDE
from hintseg.refine.walks import embedding_walk
from hintseg.structures import UNLABELLED, VOID, LabelMap, Sample, WeakLabels

WALK_STEPS, SHARPNESS = 64, 100.0
LEAST = 1e-12  # probability of a possible class: of classes that are all denied each is as likely


@torch.inference_mode()
def pseudo_scores(
    model: Segmenter,
    sample: Sample,
    *,
    steps: int = WALK_STEPS,
    sharpness: float = SHARPNESS,
    negligible: float = 1e-6,
    index: PrototypeIndex | None = None,
    both: bool = False,
) -> Float[Tensor, "classes rows columns"]:
    """Probabilities at stride 4 that respect the hints.

    The classifier's probabilities (mean over the image and its mirror image) of the classes that
    can be in the image walk at random over cells with like embeddings, while labelled cells stay
    what they are (Ke et al. 2021, arXiv:2105.00957, section 3.4). Absent classes get an exact 0;
    each cell sums to 1.

    Args:
        model: Gives embeddings and logits at stride 4.
        sample: An image at the working resolution with its labels and tags.
        steps: Of the walk; 0: none.
        sharpness: Of the walk's transitions.
        negligible: Transitions below this are dropped.
        index: Known segments; their votes, without those of the image itself, take the place of
            the classifier.
        both: The mean of votes and classifier instead.

    Raises:
        NotFiniteError: An embedding or a score is NaN or infinite.
    """
    device, weak = next(model.parameters()).device, sample.weak
    pixels = torch.from_numpy(sample.image.transpose(2, 0, 1).copy())[None].to(device)
    embeddings = model.embedder(torch.cat([pixels, pixels.flip(-1)]))
    check_scores(embeddings)
    told = []
    if index is None or both:
        told.append(model.classify(embeddings).float().softmax(dim=1))
    if index is not None:
        own, classes = index.number(sample.name), len(weak.absent)
        votes = [
            voted_scores(view[None], index, classes=classes, exclude_image=own)
            for view in embeddings
        ]
        told.append(torch.cat(votes).to(device))
    probabilities = _turned(torch.stack(told).mean(dim=0)).mean(dim=0)
    check_scores(probabilities)
    possible = torch.from_numpy(~weak.absent).to(device).nonzero()[:, 0]
    cells = pool_labels(torch.from_numpy(weak.labels).long()[None].to(device), STRIDE)[0]
    place = torch.full((len(weak.absent) + 1,), -1, device=device)  # the last: no class
    place[possible] = torch.arange(len(possible), device=device)
    walked = embedding_walk(
        _turned(embeddings).float(),
        probabilities[possible].clamp(min=LEAST),
        steps=steps,
        sharpness=sharpness,
        fixed=place[cells.clamp(min=-1)],
        negligible=negligible,
    )
    scores = torch.zeros_like(probabilities)
    scores[possible] = F.normalize(walked, p=1, dim=0)
    return scores


def refined(
    scores: Float[Tensor, "classes rows columns"], sample: Sample, crf: str
) -> Float[Tensor, "classes height width"]:
    """The pseudo scores of all pixels after a dense CRF over the classes that can be in the image.

    Of an image of more than 2^20 pixels as of the shrunken one; all 0 where no class can be.
    """
    size, possible = sample.image.shape[:2], ~sample.weak.absent
    if not possible.any():
        return scores.new_zeros(len(scores), *size)
    device = scores.device
    return crf_scores(sample.image, scores, crf, covered=size, possible=possible, device=device)


def confident_labels(
    scores: Float[Tensor, "classes rows columns"], weak: WeakLabels, *, confidence: float
) -> LabelMap:
    """Labels at the resolution of the weak labels: their own, and the model's where it is sure.

    Scores are those of cells of 4 x 4 pixels, or of every pixel.
    A pixel is UNLABELLED if its highest probability is below `confidence`, or if no class is
    possible at all; VOID stays VOID.
    """
    height, width = weak.labels.shape
    is_full = scores.shape[1:] == (height, width)
    full = scores if is_full else upsample(scores[None], height, width)[0]
    best, label = full.max(dim=0)
    is_sure = (best >= confidence) & (best > 0)
    sure = label.where(is_sure, UNLABELLED).cpu().numpy().astype(weak.labels.dtype)
    sure[weak.labels == VOID] = VOID
    known = weak.labels >= 0
    sure[known] = weak.labels[known]
    return sure


def _turned(views: Float[Tensor, "2 channels rows columns"]) -> Tensor:
    """The second view, of the mirror image, mirrored back."""
    return torch.stack([views[0], views[1].flip(-1)])
