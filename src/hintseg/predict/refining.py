"""The dense CRF on scores of a coarser grid, on labels, and on images of any size."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hintseg.predict.tiles import scores_at_resolution
from hintseg.refine.crf import dense_crf, dense_crf_labels
from hintseg.resize import fit_size, resize_image
from hintseg.structures import UNLABELLED, Image, LabelMap

MOST_PIXELS = 2**20  # of the image that it sees: some 200 MB, and sigmas that still mean something


def crf_scores(
    image: Image,
    scores: Float[Tensor, "classes rows columns"],
    preset: str,
    *,
    covered: tuple[int, int],
    possible: Bool[np.ndarray, " classes"] | None = None,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "classes height width"]:
    """Scores of every pixel, refined by the colours of the raw image.

    An image of more than 2^20 pixels is shrunk to that many first: the sigmas of the presets are
    for photographs of some 500 pixels.

    Args:
        image: At the resolution at which it shall be labelled.
        scores: On a grid of stride-4 cells.
        preset: Name of one of the dense CRF's.
        covered: Height and width of the scored image; the grid may reach up to 3 pixels beyond.
        possible: The classes that can be in the image; None: all.
        device: Where it is computed.

    Returns:
        Probabilities, on the CPU; as many rows and columns as the image has, or the shrunken one.

    Raises:
        UnknownNameError: No such preset.
    """
    small = _bounded(image)
    full = scores_at_resolution(scores.cpu(), *small.shape[:2], covered=covered).to(device)
    present = None if possible is None else torch.from_numpy(possible)
    return dense_crf(small, full, preset=preset, classes_present=present).cpu()


def supported_labels(
    image: Image, labels: LabelMap, preset: str, *, possible: Bool[np.ndarray, " classes"]
) -> LabelMap:
    """Labels without those that the image contradicts; these pixels become UNLABELLED.

    A label is contradicted where another class is more probable after a dense CRF in which every
    label has the probability 0.7 (as in IRNet's seeds, Ahn et al. 2019, arXiv:1904.05044).

    Args:
        image: As large as the labels; of 2^20 pixels or fewer.
        labels: Class index, UNLABELLED or VOID.
        preset: Name of one of the dense CRF's.
        possible: The classes that can be in the image.

    Raises:
        UnknownNameError: No such preset.
    """
    if not (labels >= 0).any() or possible.sum() < 2:
        return labels
    refined = dense_crf_labels(
        image, labels, len(possible), preset=preset, classes_present=torch.from_numpy(possible)
    )
    is_wrong = (labels >= 0) & (refined.argmax(dim=0).numpy() != labels)
    return np.where(is_wrong, UNLABELLED, labels).astype(labels.dtype)


def _bounded(image: Image) -> Image:
    height, width = image.shape[:2]
    if height * width <= MOST_PIXELS:
        return image
    return resize_image(
        image, *fit_size(height, width, None, zoom=math.sqrt(MOST_PIXELS / (height * width)))
    )
