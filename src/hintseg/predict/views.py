"""Scores of an image averaged over views: scales and mirror images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.errors import ConfigError

STRIDE = 4  # pixels per cell of the scores


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at an image: resized by a factor, mirrored or not."""

    scale: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        if not 0.05 <= self.scale <= 20:
            raise ConfigError(f"scales: must lie between 0.05 and 20, got {self.scale}")


def make_views(scales: Sequence[float], *, flip: bool) -> tuple[View, ...]:
    """All scales, each also mirrored where `flip`."""
    if not scales:
        raise ConfigError("scales: at least one is needed, such as --scales 0.75,1,1.25")
    mirrored = (False, True) if flip else (False,)
    return tuple(View(float(scale), flip) for scale in scales for flip in mirrored)


def class_scores(
    model: Callable[[Tensor], Tensor],
    image: Float[Tensor, "1 3 height width"],
    views: Sequence[View],
) -> Float[Tensor, "1 classes rows columns"]:
    """Class probabilities at stride 4 of a model that gives logits, averaged over views."""
    return averaged_scores(lambda part: model(part).float().softmax(dim=1), image, views)


@torch.inference_mode()
def averaged_scores(
    score: Callable[[Tensor], Tensor],
    image: Float[Tensor, "1 3 height width"],
    views: Sequence[View],
) -> Float[Tensor, "1 classes rows columns"]:
    """Probabilities at stride 4, averaged over views; each cell sums to 1.

    Height and width are multiples of 4, so that the cells of all views map onto each other exactly.
    """
    grid = (image.shape[-2] // STRIDE, image.shape[-1] // STRIDE)
    total: Tensor | None = None
    for view in views:
        scores = _scores_of(score, image, view)
        if scores.shape[-2:] != grid:
            scores = F.interpolate(scores, size=grid, mode="bilinear", align_corners=False)
        total = scores if total is None else total + scores
    assert total is not None
    return total / len(views)


def _scores_of(score: Callable[[Tensor], Tensor], image: Tensor, view: View) -> Tensor:
    if view.scale != 1:
        size = [max(1, round(side * view.scale / STRIDE)) * STRIDE for side in image.shape[-2:]]
        image = F.interpolate(
            image, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    scores = score(image.flip(-1) if view.flip else image)
    return scores.flip(-1) if view.flip else scores
