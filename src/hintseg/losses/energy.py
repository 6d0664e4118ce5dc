"""Energies of a soft labelling: how much it cuts apart pixels that are alike.

Regularised losses (Tang et al., CVPR 2018, arXiv:1804.01346; ECCV 2018, arXiv:1803.09569). S^k is
the map of the probabilities of class k, W the affinity between the pixels of one image, d = W 1
their degrees. An affinity is anything that filters (`hintseg.filters`) or `grid_affinity`; what
it does not keep, padding above all, has degree zero and no part in anything.

Every energy is made so that a weight means the same at any crop, kernel and batch: it is a ratio
for each image, averaged over the images of all ranks that have any affinity. Without one it is an
exact 0 that can be differentiated.
"""

from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hintseg.losses.means import mean_of_all, mean_of_rows

LEAST_MASS = 1e-4
"""Share of the degrees of an image below which a class has no mass: its own cut is undefined."""

Maps = Float[Tensor, "batch classes height width"]
Present = Bool[Tensor, "batch classes"]


@runtime_checkable
class Affinity(Protocol):
    """W of every image: symmetric, not below zero, with nothing between images.

    The lattice is symmetric but for the order of its axes; the gradients here take it for so.
    """

    @property
    def sums(self) -> Float[Tensor, "batch 1 height width"]:
        """Degrees d = W 1; zero at pixels that are not kept."""
        ...

    def __call__(self, values: Maps) -> Maps:
        """W v, channel by channel."""
        ...


def crf_loss(probabilities: Maps, affinity: Affinity) -> Float[Tensor, ""]:
    """Potts energy of a dense CRF, relaxed bilinearly: the released form.

        L = sum_k S^kT W (1 - S^k) / sum_pq W_pq                            in [0, 1]

    (Tang et al. 2018b, eq. 4.) The gradient is W (1 - 2 S^k), equal to the released -2 W S^k but
    for a constant of the pixel, which the softmax cancels. A hard labelling has the share of the
    affinity that it cuts. A soft one is charged for softness as well (`quadratic_crf_loss` is
    not), and with affinities of pixels to themselves even where it cuts nothing.

    Example:
        >>> import torch
        >>> from hintseg.filters import exact_filter, position_features
        >>> affinity = exact_filter(position_features((1, 1, 2), sxy=1.0))
        >>> cut = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # two pixels, two classes
        >>> round(crf_loss(cut, affinity).item(), 3)
        1.0
        >>> round(crf_loss(cut.mean(3, keepdim=True).expand_as(cut), affinity).item(), 3)
        0.5
    """
    parts = _Parts.of(probabilities, affinity)
    return mean_of_all(_potts(parts), parts.total > 0)


def quadratic_crf_loss(probabilities: Maps, affinity: Affinity) -> Float[Tensor, ""]:
    """Potts energy of a dense CRF, relaxed quadratically: softness costs nothing.

        L = 1/2 sum_pq W_pq |S_p - S_q|^2 / sum_pq W_pq                     in [0, 1]

    Gradient 2 (D - W) S^k. Equal to `crf_loss` for hard labels; for any,

        sum_k S^kT W (1 - S^k) = 1/2 sum_pq W_pq |S_p - S_q|^2 + sum_p d_p sum_k S_pk (1 - S_pk).

    The one to combine with `entropy_loss`.

    Example:
        >>> import torch
        >>> from hintseg.filters import exact_filter, position_features
        >>> affinity = exact_filter(position_features((1, 1, 2), sxy=1.0))
        >>> cut = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # two pixels, two classes
        >>> round(quadratic_crf_loss(cut, affinity).item(), 3)
        1.0
        >>> round(quadratic_crf_loss(cut.mean(3, keepdim=True).expand_as(cut), affinity).item(), 3)
        0.0
    """
    total = _total(affinity)
    squares = (affinity.sums * probabilities.square()).flatten(1).sum(dim=1)
    within = _within(probabilities, affinity).sum(dim=1)
    return mean_of_all((squares - within) / _or_one(total), total > 0)


def normalised_cut_loss(
    probabilities: Maps, affinity: Affinity, present: Present | None = None
) -> Float[Tensor, ""]:
    """Normalised cut (Shi and Malik 2000; as a loss: Tang et al. 2018a, eq. 5), a class.

        L = mean_k S^kT W (1 - S^k) / (d^T S^k)                             in [0, 1]

    over the classes with mass (`LEAST_MASS`) that can be `present`: what little mass an absent one
    has is cut off nearly whole, however small. The mean, so that a weight does not depend on how
    many they are. With C of them the gradient is

        ((S^kT W S^k) d / (d^T S^k)^2 - 2 W S^k / (d^T S^k)) / C.

    Example:
        >>> import torch
        >>> from hintseg.filters import exact_filter, position_features
        >>> affinity = exact_filter(position_features((1, 1, 2), sxy=1.0))
        >>> cut = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # two pixels, two classes
        >>> round(normalised_cut_loss(cut, affinity).item(), 3)
        1.0
        >>> round(normalised_cut_loss(cut.mean(3, keepdim=True).expand_as(cut), affinity).item(), 3)
        0.5
    """
    parts = _Parts.of(probabilities, affinity)
    return mean_of_all(_normalised_cut(parts, present), parts.total > 0)


def kernel_cut_loss(
    probabilities: Maps, affinity: Affinity, present: Present | None = None
) -> Float[Tensor, ""]:
    """Kernel cut: `normalised_cut_loss` and `crf_loss` of one affinity, summed.

    Example:
        >>> import torch
        >>> from hintseg.filters import exact_filter, position_features
        >>> affinity = exact_filter(position_features((1, 1, 2), sxy=1.0))
        >>> cut = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # two pixels, two classes
        >>> round(kernel_cut_loss(cut, affinity).item(), 3)
        2.0
        >>> round(kernel_cut_loss(cut.mean(3, keepdim=True).expand_as(cut), affinity).item(), 3)
        1.0
    """
    parts = _Parts.of(probabilities, affinity)
    return mean_of_all(_normalised_cut(parts, present) + _potts(parts), parts.total > 0)


def association_loss(
    probabilities: Maps,
    affinity: Affinity,
    kept: Bool[Tensor, "batch height width"],
    present: Present | None = None,
) -> Float[Tensor, ""]:
    """Kernel k-means, that is average association, in units of the mean degree, a class.

        L = mean_k (1 - S^kT W S^k / (m 1^T S^k)),     m = sum_pq W_pq / N, N kept pixels

    over the classes with mass that can be present. Equal to the normalised cut where all degrees
    are equal; below zero at worst by max d / m - 1.

    Example:
        >>> import torch
        >>> from hintseg.filters import exact_filter, position_features
        >>> affinity = exact_filter(position_features((1, 1, 2), sxy=1.0))
        >>> whole = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])  # two pixels of one class
        >>> kept = torch.ones(1, 1, 2, dtype=torch.bool)
        >>> round(association_loss(whole, affinity, kept).item(), 3)
        0.0
    """
    total = _total(affinity)
    pixels = kept.flatten(1).sum(dim=1).to(total.dtype)
    mean_degree = _or_one(total / pixels.clamp(min=1))[:, None]
    mass = (probabilities * kept[:, None]).flatten(2).sum(dim=2)
    counted = _counted(mass, pixels, present)
    ratio = _within(probabilities, affinity) / (mean_degree * mass.where(counted, 1.0))
    return mean_of_all(mean_of_rows(1 - ratio, counted), total > 0)


def entropy_loss(
    probabilities: Maps, kept: Bool[Tensor, "batch height width"]
) -> Float[Tensor, ""]:
    """Entropy of the labelling: L = -1/N sum_p sum_k S_pk log S_pk, in [0, log classes].

    Averaged over the kept pixels of all ranks.

    Example:
        >>> import torch
        >>> unsure = torch.full((1, 2, 1, 2), 0.5)
        >>> round(entropy_loss(unsure, torch.ones(1, 1, 2, dtype=torch.bool)).item(), 3)
        0.693
    """
    tiny = torch.finfo(probabilities.dtype).tiny  # 0 log 0 = 0, with a gradient that is finite
    entropies = -(probabilities * probabilities.clamp(min=tiny).log()).sum(dim=1)
    return mean_of_all(entropies, kept)


def converted_weight(
    released: float, affinity: Affinity, *, coarser: float = 1.0
) -> Float[Tensor, " batch"]:
    """The weight of `crf_loss` that acts on each image as `released` acts in the released code.

    There the loss is -sum_k S^kT W S^k, divided by the number of images alone, so that its weight
    is of the order of 1e-9 and depends on crop and kernel:

        weight = released * sum_pq W_pq

    up to the constant that the released form leaves out.

    Args:
        released: Weight in the released code, at the resolution of its own filter.
        affinity: Not normalised, with the affinities of pixels to themselves.
        coarser: How many times fewer rows, and columns, the affinity has than that of the released
            loss would have; the sum over pairs grows with its fourth power.

    Example:
        >>> import torch
        >>> from hintseg.filters import exact_filter, position_features
        >>> affinity = exact_filter(position_features((1, 8, 8), sxy=2.0), self_affinity=True)
        >>> converted_weight(2e-9, affinity) > 2e-9
        tensor([True])
    """
    return released * coarser**4 * _total(affinity)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the energies are made of."""

    mass: Float[Tensor, "batch classes"]  # d^T S^k
    within: Float[Tensor, "batch classes"]  # S^kT W S^k
    total: Float[Tensor, " batch"]  # sum_pq W_pq

    @classmethod
    def of(cls, probabilities: Maps, affinity: Affinity) -> "_Parts":
        mass = (affinity.sums * probabilities).flatten(2).sum(dim=2)
        return cls(mass, _within(probabilities, affinity), _total(affinity))


def _potts(parts: _Parts) -> Float[Tensor, " batch"]:
    return (parts.mass - parts.within).sum(dim=1) / _or_one(parts.total)


def _normalised_cut(parts: _Parts, present: Present | None) -> Float[Tensor, " batch"]:
    counted = _counted(parts.mass, parts.total, present)
    return mean_of_rows(1 - parts.within / parts.mass.where(counted, 1.0), counted)


def _counted(mass: Tensor, whole: Tensor, present: Present | None) -> Present:
    """The classes of each image that can be there and have mass."""
    massive = mass.detach() > LEAST_MASS * whole[:, None]
    return massive if present is None else massive & present


def _total(affinity: Affinity) -> Float[Tensor, " batch"]:
    return affinity.sums.flatten(1).sum(dim=1)


def _or_one(total: Tensor) -> Tensor:
    return total.where(total > 0, 1.0)


def _within(probabilities: Maps, affinity: Affinity) -> Float[Tensor, "batch classes"]:
    """S^kT W S^k with the gradient 2 W S^k: one filtering for both."""
    return cast(Tensor, _Within.apply(probabilities, affinity))


class _Within(torch.autograd.Function):
    """Keeps W S^k, which is all that the gradient of a symmetric form needs."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, probabilities: Tensor, affinity: Affinity
    ) -> Tensor:
        with torch.autocast(probabilities.device.type, enabled=False):  # sums of many terms
            filtered = affinity(probabilities.detach())
        ctx.save_for_backward(filtered)
        return (probabilities * filtered).flatten(2).sum(dim=2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), (filtered,) = gradients, ctx.saved_tensors  # type: ignore[attr-defined]
        return 2 * gradient[:, :, None, None] * filtered, None
