"""Dense CRF: every pixel votes with all pixels that lie near it and look like it.

Mean field for a fully connected CRF with Potts compatibility and Gaussian kernels (Krahenbuhl and
Koltun 2011, arXiv:1210.5644). Colours are those of the raw image: a normalised one is refused.

Shape shorthand: values travel as rows, one for each pixel of the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hintseg.errors import ConfigError, UnknownNameError
from hintseg.filters.bilateral import (
    GaussianFilter,
    bilateral_features,
    permutohedral_filter,
    position_features,
)
from hintseg.filters.permutohedral import Lattice

LEAST = 1e-5  # probability of a class that scores exclude: the image may overrule them

Rows = Float[Tensor, "pixels classes"]
Kernels = Sequence[tuple[float, GaussianFilter]]  # and their weights


@dataclass(frozen=True, kw_only=True)
class CrfPreset:
    """The two kernels of a dense CRF and how often they are applied.

    Raises:
        ConfigError: A number that cannot work.
    """

    gaussian: float = 3.0  # weight of nearness; 0: no such kernel
    gaussian_sxy: float = 3.0  # its sigma, in pixels
    bilateral: float = 10.0  # weight of nearness and likeness; 0: no such kernel
    bilateral_sxy: float = 80.0  # sigma of the place, in pixels
    bilateral_srgb: float = 13.0  # sigma of the colour, in steps of 255
    iterations: int = 10

    def __post_init__(self) -> None:
        for name in ("gaussian", "bilateral"):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"crf: {name} must be finite and 0 or more, got {self!r}")
        for name in ("gaussian_sxy", "bilateral_sxy", "bilateral_srgb"):
            if not 0 < getattr(self, name) < inf:
                raise ConfigError(f"crf: {name} must be finite and above 0, got {self!r}")
        if self.iterations < 0:
            raise ConfigError(f"crf: iterations must be 0 or more, got {self.iterations}")


PresetName = Literal["psa", "sec_train", "irn", "deeplab", "seam_retrain"]
PRESETS: Mapping[str, CrfPreset] = {
    "psa": CrfPreset(),  # AffinityNet, SEAM's maps, SC-CAM, RCA, SEC's test
    "sec_train": CrfPreset(gaussian_sxy=3 / 12, bilateral_sxy=80 / 12),  # on 41 x 41 cells
    "irn": CrfPreset(bilateral_sxy=50.0, bilateral_srgb=5.0),  # on hard labels, confidence 0.7
    "deeplab": CrfPreset(gaussian_sxy=1.0, bilateral=4.0, bilateral_sxy=67.0, bilateral_srgb=3.0),
    "seam_retrain": CrfPreset(bilateral_sxy=32.0, iterations=1),
}
"""As published, for photographs of some 500 pixels (papers and code of the names)."""

DEFAULT_PRESET: PresetName = "deeplab"  # the best on the validation photographs of MSRC-21


def find_preset(name: str) -> CrfPreset:
    """A preset by name; UnknownNameError with the nearest name otherwise."""
    if name not in PRESETS:
        raise UnknownNameError("preset of the dense CRF", name, PRESETS)
    return PRESETS[name]


def dense_crf(
    image: np.ndarray | Tensor,
    scores: Tensor,
    *,
    preset: str | CrfPreset = DEFAULT_PRESET,
    iterations: int | None = None,
    classes_present: Tensor | None = None,
    self_affinity: bool = True,
) -> Tensor:
    """Probabilities that agree with the image, from scores and raw colours.

    Starting with the scores s as Q, `iterations` times at once for all pixels p and classes c

        Q_p(c) <- softmax_c( log s_p(c) + sum_m w_m sum_q k_m(p, q) Q_q(c) ),

        k = D^-1/2 K D^-1/2,   K_1 = exp(-|x_p - x_q|^2 / 2 sxy_1^2),
        K_2 = exp(-|x_p - x_q|^2 / 2 sxy_2^2 - |I_p - I_q|^2 / 2 srgb^2)

    (Krahenbuhl and Koltun 2011, algorithm 1, with the symmetric normalisation that makes weights
    independent of resolution; the kernels on the permutohedral lattice). Scores count in
    proportion: a factor common to all classes of a pixel changes nothing, and a pixel with zeros
    alone knows nothing. A class has at least 1e-5 of a pixel's scores.

    Args:
        image: (height, width, 3) uint8 array, RGB; or a batch of them, (batch, 3, height, width).
        scores: (classes, rows, columns), for a batch (batch, classes, rows, columns); 0 or more. A
            coarser grid over the same image is brought to its size, bilinear.
        preset: Name of published numbers, or your own.
        iterations: In place of the preset's.
        classes_present: Bool per class, for a batch (classes) or (batch, classes): the others get
            an exact 0 and cost nothing. None: all.
        self_affinity: Whether a pixel votes for itself, as in the implementations for which the
            presets were made; the paper's sum leaves it out.

    Returns:
        Like the scores, at the size of the image; each pixel sums to 1. Differentiable with respect
        to the scores.

    Raises:
        ConfigError: An image that is not uint8 RGB (normalised colours have other distances),
            scores that are negative, not finite or larger than the image, no class present, or
            numbers that cannot work.
        UnknownNameError: No such preset.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> image = np.zeros((8, 8, 3), np.uint8)
        >>> image[:, 4:] = 255
        >>> scores = torch.full((2, 8, 8), 0.5)
        >>> scores[:, 4, 1] = torch.tensor([0.1, 0.9])  # one pixel of the dark half is known
        >>> scores[:, 4, 6] = torch.tensor([0.9, 0.1])  # and one of the bright half
        >>> refined = dense_crf(image, scores)
        >>> refined.argmax(dim=0)[4]
        tensor([1, 1, 1, 1, 0, 0, 0, 0])
    """
    images = _images(image, scores)
    low, high = _range(scores)
    if not 0 <= low <= high < inf:
        raise ConfigError("scores: must be finite and 0 or more; do they hold logits, or NaN?")
    numbers = _chosen(preset, iterations)
    return _refined(images, scores, classes_present, _log_shares, numbers, self_affinity)


def dense_crf_logits(
    image: np.ndarray | Tensor,
    logits: Tensor,
    *,
    preset: str | CrfPreset = DEFAULT_PRESET,
    iterations: int | None = None,
    classes_present: Tensor | None = None,
    self_affinity: bool = True,
    kept: Tensor | None = None,
) -> Tensor:
    """As `dense_crf`, from logits: log s_p(c) is the logit, of any sign, without a least value.

    Args:
        image: As for `dense_crf`.
        logits: As the scores of `dense_crf`.
        preset: As for `dense_crf`.
        iterations: As for `dense_crf`.
        classes_present: As for `dense_crf`.
        self_affinity: As for `dense_crf`.
        kept: Bool per pixel, (batch, height, width): the others are padding, neither vote nor get
            votes. None: all are kept.

    Raises:
        ConfigError: As `dense_crf`; logits that are not finite.

    Example:
        >>> import torch
        >>> images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
        >>> logits = torch.zeros(1, 2, 4, 4)
        >>> dense_crf_logits(images, logits).unique()
        tensor([0.5000])
    """
    images = _images(image, logits)
    low, high = _range(logits)
    if not -inf < low <= high < inf:
        raise ConfigError("logits: must be finite, got NaN or infinity")
    numbers = _chosen(preset, iterations)
    return _refined(
        images, logits, classes_present, lambda same: same, numbers, self_affinity, kept
    )


def dense_crf_labels(
    image: np.ndarray | Tensor,
    labels: np.ndarray | Tensor,
    classes: int,
    *,
    confidence: float = 0.7,
    preset: str | CrfPreset = DEFAULT_PRESET,
    iterations: int | None = None,
    classes_present: Tensor | None = None,
) -> Tensor:
    """As `dense_crf`, from labels: the class of a pixel has the score `confidence`.

    The other classes share the rest equally. A pixel without a class (negative: UNLABELLED, VOID)
    knows nothing: all its classes are alike.

    Args:
        image: As for `dense_crf`.
        labels: (height, width), for a batch (batch, height, width); a coarser map is enlarged.
        classes: How many there are.
        confidence: Above 0, at most 1.
        preset: As for `dense_crf`.
        iterations: As for `dense_crf`.
        classes_present: As for `dense_crf`; labels of other classes know nothing.

    Raises:
        ConfigError: As `dense_crf`; a label that is no class, a confidence out of range.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((4, 4, 3), np.uint8)
        >>> labels = np.zeros((4, 4), np.int16)
        >>> labels[1, 1] = 1  # one pixel among others of its colour
        >>> dense_crf_labels(image, labels, 2).argmax(dim=0).unique()
        tensor([0])
    """
    given = torch.as_tensor(labels).long()
    if not 0 < confidence <= 1:
        raise ConfigError(f"confidence: must be above 0 and at most 1, got {confidence}")
    if given.numel() and int(given.max()) >= classes:
        raise ConfigError(f"labels: hold class {int(given.max())}, but there are {classes} classes")
    own = F.one_hot(given.clamp(min=0), classes).movedim(-1, -3).float()
    unsure = (1 - confidence) / max(1, classes - 1)
    scores = (own * (confidence - unsure) + unsure).where(given.unsqueeze(-3) >= 0, 1 / classes)
    return dense_crf(
        image, scores, preset=preset, iterations=iterations, classes_present=classes_present
    )


def _refined(
    images: UInt8[Tensor, "batch 3 height width"],
    scores: Tensor,
    present: Tensor | None,
    log_of: Callable[[Tensor], Tensor],
    preset: CrfPreset,
    self_affinity: bool,
    kept: Tensor | None = None,
) -> Tensor:
    """Mean field of a batch, on a CPU image by image: a whole batch would not stay in the cache."""
    batch = scores if scores.ndim == 4 else scores[None]
    possible = _possible(present, *batch.shape[:2]).to(scores.device)
    count = 1 if scores.device.type == "cpu" else len(images)
    refined = []
    for first in range(0, len(images), count):
        some = slice(first, first + count)
        mask = None if kept is None else kept[some]
        given = _enlarged(batch[some], images[some])
        refined.append(
            _refined_part(images[some], given, possible[some], log_of, preset, self_affinity, mask)
        )
    whole = refined[0] if len(refined) == 1 else torch.cat(refined)
    return whole.view(*scores.shape[:-2], *images.shape[2:]).to(scores.dtype)


def _refined_part(
    images: UInt8[Tensor, "batch 3 height width"],
    given: Float[Tensor, "batch classes height width"],
    possible: Bool[Tensor, "batch classes"],
    log_of: Callable[[Tensor], Tensor],
    preset: CrfPreset,
    self_affinity: bool,
    kept: Tensor | None,
) -> Float[Tensor, "batch classes height width"]:
    """Mean field over the classes that any of the images can have."""
    batch, classes, height, width = given.shape
    some = possible.any(dim=0).nonzero()[:, 0]
    if not bool(possible.all()):
        given = given[:, some].where(possible[:, some, None, None], 0)
    logits = log_of(given)
    if not bool(possible[:, some].all()):
        logits = logits.masked_fill(~possible[:, some, None, None], -inf)
    rows = logits.permute(0, 2, 3, 1).reshape(-1, len(some))
    probabilities = _mean_field(rows, images, kept, preset, self_affinity)
    refined = probabilities.view(batch, height, width, len(some)).permute(0, 3, 1, 2)
    if len(some) == classes:
        return refined
    return refined.new_zeros(batch, classes, height, width).index_copy(1, some, refined)


def _mean_field(
    logits: Rows,
    images: UInt8[Tensor, "batch 3 height width"],
    kept: Tensor | None,
    preset: CrfPreset,
    self_affinity: bool,
) -> Rows:
    """Q after so many updates of all pixels at once."""
    idle = logits.shape[1] == 1 or not preset.iterations
    kernels = [] if idle else _kernels(images, preset, self_affinity, kept)
    lattices = [(w, k.normalised) for w, k in kernels if isinstance(k.normalised, Lattice)]
    is_plain = not (torch.is_grad_enabled() and logits.requires_grad)
    compiled = is_plain and logits.device.type == "cpu" and logits.dtype == torch.float32
    if compiled and 0 < len(lattices) == len(kernels):
        from hintseg.refine.mean_field import mean_field  # noqa: PLC0415 - Numba takes long to load

        return mean_field(logits.detach(), lattices, preset.iterations)
    probabilities = logits.softmax(dim=1)
    for _ in range(preset.iterations):
        votes = logits
        for weight, kernel in kernels:
            votes = votes.add(kernel.on_rows(probabilities), alpha=weight)
        probabilities = votes.softmax(dim=1)
    return probabilities


def _kernels(
    images: UInt8[Tensor, "batch 3 height width"],
    preset: CrfPreset,
    self_affinity: bool,
    kept: Tensor | None,
) -> Kernels:
    """Those that count, and their weights."""
    kernels = []
    if preset.gaussian and kept is None:
        batch, _, height, width = images.shape
        size = batch, height, width
        near = _near(size, preset.gaussian_sxy, self_affinity, images.device)
        kernels.append((preset.gaussian, near))
    elif preset.gaussian:
        near = _kernel(position_features(images, sxy=preset.gaussian_sxy), self_affinity, kept)
        kernels.append((preset.gaussian, near))
    if preset.bilateral:
        alike = bilateral_features(images, sxy=preset.bilateral_sxy, srgb=preset.bilateral_srgb)
        kernels.append((preset.bilateral, _kernel(alike, self_affinity, kept)))
    return kernels


@lru_cache(maxsize=1)
def _near(
    size: tuple[int, int, int], sxy: float, self_affinity: bool, device: torch.device
) -> GaussianFilter:
    """The kernel of place, which photographs of one size share."""
    return _kernel(position_features(size, sxy=sxy).to(device), self_affinity)


def _kernel(features: Tensor, self_affinity: bool, kept: Tensor | None = None) -> GaussianFilter:
    return permutohedral_filter(
        features, normalisation="symmetric", self_affinity=self_affinity, kept=kept
    )


def _chosen(preset: str | CrfPreset, iterations: int | None) -> CrfPreset:
    numbers = find_preset(preset) if isinstance(preset, str) else preset
    return numbers if iterations is None else replace(numbers, iterations=iterations)


def _images(image: np.ndarray | Tensor, scores: Tensor) -> UInt8[Tensor, "batch 3 height width"]:
    """The raw colours as a batch, on the device of the scores."""
    raw = torch.as_tensor(image)
    if isinstance(image, np.ndarray) and image.ndim == 3 and scores.ndim == 3:
        raw = raw.permute(2, 0, 1)[None]
    fits = (
        raw.ndim == 4 and raw.shape[1] == 3 and len(raw) == (len(scores) if scores.ndim == 4 else 1)
    )
    if not fits or raw.dtype != torch.uint8 or not raw.numel():
        raise ConfigError(
            "image: must be raw uint8 RGB, an array (height, width, 3) with scores (classes, rows, "
            "columns) or a tensor (batch, 3, height, width) with a batch of scores; got "
            f"{tuple(image.shape)} {image.dtype} with scores {tuple(scores.shape)}"
        )
    return raw.to(scores.device)


def _enlarged(
    scores: Float[Tensor, "batch classes rows columns"], images: Tensor
) -> Float[Tensor, "batch classes height width"]:
    """Scores of the size of the images, in float32 or better."""
    height, width = images.shape[-2:]
    if scores.shape[2] > height or scores.shape[3] > width or not scores.numel():
        raise ConfigError(
            f"scores: {tuple(scores.shape[1:])} are none or larger than the image, {height} x "
            f"{width}; give an image of their size"
        )
    work = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if work.shape[-2:] == (height, width):
        return work
    return F.interpolate(work, size=(height, width), mode="bilinear", align_corners=False)


def _possible(present: Tensor | None, batch: int, classes: int) -> Bool[Tensor, "batch classes"]:
    """Which classes each image of a batch can have."""
    if present is None:
        return torch.ones(batch, classes, dtype=torch.bool)
    possible = present.bool()
    if possible.shape not in ((classes,), (batch, classes)) or not bool(possible.any(-1).all()):
        raise ConfigError(
            f"classes_present: must say of {classes} classes whether an image can have them, and "
            f"one or more must be; got {present.tolist()!r:.60}"
        )
    return possible.expand(batch, classes)


def _range(values: Tensor) -> tuple[float, float]:
    """Least and largest value; NaN if any is; (0, 0) of none."""
    if not values.numel():
        return 0.0, 0.0
    low, high = values.detach().aminmax()
    return float(low), float(high)


def _log_shares(scores: Float[Tensor, "batch classes height width"]) -> Tensor:
    """Logarithm of each class's part of the scores of a pixel, or of `LEAST`."""
    total = scores.sum(dim=1, keepdim=True)
    return (scores / total.where(total > 0, 1)).clamp(min=LEAST).log()
