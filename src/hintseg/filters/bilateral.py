"""Gaussian filters over pixels in any feature space, such as place and colour: on a lattice, exact.

Every pixel takes from every other according to how alike they are, K_ij = exp(-|f_i - f_j|^2 / 2).
The lattice costs about as much as the pixels, the exact form their square. Features are in units
of their sigmas and get no gradient; values do.

Shape shorthand: d features, n points (the pixels that are kept), m vertices of the lattice. Values
travel as tables with a row for each pixel of the batch.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hintseg.errors import ConfigError
from hintseg.filters.permutohedral import Lattice, Table, build_lattice

Normalisation = Literal["none", "symmetric", "row"]
TILE_VALUES = 2**22  # pairs of points that the exact filter has in memory


def permutohedral_filter(
    features: Float[Tensor, "batch dim height width"],
    *,
    normalisation: Normalisation = "none",
    self_affinity: bool = False,
    kept: Bool[Tensor, "batch height width"] | None = None,
) -> "GaussianFilter":
    """The Gaussian filter on the permutohedral lattice (Adams, Baek, Davis 2010).

    Values are splat onto the corners of the simplex around each point, blurred by (1/2, 1, 1/2)
    along each of the d + 1 axes of the lattice and sliced out again, times 1 / (1 + 2^-d), with
    which a point on a vertex among vertices gives itself 1. Time and memory grow with the pixels
    (doi:10.1111/j.1467-8659.2009.01645.x; scale and order of the axes as in the published
    implementations of the dense CRF, whose figures depend on them).

    The kernel resembles a Gaussian, but has not its mass: where points lie densely on all sides
    it sums to 2 (3 / pi)^(d / 2) / ((1 + 2^-d) sqrt(d + 1)) of the Gaussian's, 0.88 for d = 2 and
    0.71 for d = 5, and to less where the lattice has no vertices between two points. A constant
    factor does not change the normalised forms.

    Args:
        features: In units of their sigmas.
        normalisation: none: K v; symmetric: D^-1/2 K D^-1/2 v; row: D^-1 K v; D are the row sums
            over the same pairs. A pixel without neighbours gets 0.
        self_affinity: Whether a pixel takes from itself; if not, exactly what it would take
            through the lattice is left out.
        kept: False where a pixel neither gives nor takes (padding): its output is 0.

    Raises:
        ConfigError: Features that are not finite, or so many sigmas apart that the lattice cannot
            be numbered.

    Example:
        >>> import torch
        >>> features = position_features((1, 5, 5), sxy=1.0)
        >>> kernel = permutohedral_filter(features, normalisation="row")
        >>> kernel(torch.ones(1, 1, 5, 5)).allclose(torch.ones(1, 1, 5, 5))
        True
    """
    points, pixels, images = _points(features, kept)
    kernel: Lattice | _Exact
    if points.shape[1]:
        count = math.prod(_size(features))
        kernel = build_lattice(points, pixels, images, count, without_own=not self_affinity)
    else:
        kernel = _exact(points, pixels, images, batch=len(features), self_affinity=self_affinity)
    return GaussianFilter(kernel, _size(features), normalisation)


def exact_filter(
    features: Float[Tensor, "batch dim height width"],
    *,
    normalisation: Normalisation = "none",
    self_affinity: bool = False,
    kept: Bool[Tensor, "batch height width"] | None = None,
) -> "GaussianFilter":
    """As `permutohedral_filter`, by the formula: n^2 pairs, for tests and small maps.

    Raises:
        ConfigError: Features that are not finite.

    Example:
        >>> import torch
        >>> kernel = exact_filter(position_features((1, 1, 3), sxy=1.0))
        >>> kernel(torch.tensor([[[[1.0, 0.0, 0.0]]]]))
        tensor([[[[0.0000, 0.6065, 0.1353]]]])
    """
    kernel = _exact(*_points(features, kept), batch=len(features), self_affinity=self_affinity)
    return GaussianFilter(kernel, _size(features), normalisation)


def bilateral_features(
    images: UInt8[Tensor, "batch 3 height width"], *, sxy: float, srgb: float
) -> Float[Tensor, "batch 5 height width"]:
    """Place and raw colour of each pixel: (x, y) / sxy, (r, g, b) / srgb.

    Args:
        images: Raw colours, 0 to 255; a normalised image is refused by type.
        sxy: Sigma of the place, in pixels.
        srgb: Sigma of the colour, in steps of 255.

    Raises:
        ConfigError: A sigma that is not positive and finite.

    Example:
        >>> import torch
        >>> images = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)
        >>> tuple(bilateral_features(images, sxy=60.0, srgb=10.0).shape)
        (1, 5, 4, 6)
    """
    _check_sigma("srgb", srgb)
    return torch.cat([position_features(images, sxy=sxy), images.float() / srgb], dim=1)


def position_features(
    images: Tensor | tuple[int, int, int], *, sxy: float
) -> Float[Tensor, "batch 2 height width"]:
    """Place of each pixel, (x, y) / sxy, of images or of a (batch, height, width).

    Raises:
        ConfigError: A sigma that is not positive and finite.

    Example:
        >>> position_features((1, 1, 3), sxy=2.0)[0, :, 0]
        tensor([[0.0000, 0.5000, 1.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    _check_sigma("sxy", sxy)
    if isinstance(images, tuple):
        (batch, height, width), device = images, None
    else:
        (batch, _, height, width), device = images.shape, images.device
    y = torch.arange(height, device=device, dtype=torch.float32)[:, None].expand(height, width)
    x = torch.arange(width, device=device, dtype=torch.float32)[None].expand(height, width)
    return (torch.stack([x, y]) / sxy).expand(batch, -1, -1, -1)


@dataclass(frozen=True, eq=False)
class GaussianFilter:
    """A kernel over the pixels of a batch: built once, applied to any channels, many times."""

    kernel: "Lattice | _Exact"  # as configured, before normalisation
    size: tuple[int, int, int]  # batch, height, width
    normalisation: Normalisation = "none"

    def __call__(
        self, values: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The filtered values, in their dtype; computed in float32 or better.

        The gradient is that of a linear map: the transposed filter, which for the lattice blurs
        along its axes in reverse order.

        Raises:
            ConfigError: Values of another size than the features.
        """
        if (len(values), *values.shape[-2:]) != self.size:
            raise ConfigError(
                f"values: are {tuple(values.shape)}, the filter was made for batch, height and "
                f"width {self.size}"
            )
        return _images(self.on_rows(_rows(values)), self.size).to(values.dtype)

    def on_rows(self, rows: Table) -> Table:
        """As a call, on a table with a row for each pixel of the batch: nothing is transposed."""
        work = rows.to(torch.promote_types(rows.dtype, torch.float32))
        filtered: Tensor = _Linear.apply(work, self.normalised, self._backward)
        return filtered

    @cached_property
    def sums(self) -> Float[Tensor, "batch 1 height width"]:
        """Row sums of the kernel before normalisation, 0 where a pixel has no neighbour."""
        return _images(self._row_sums[:, None], self.size)

    @cached_property
    def _row_sums(self) -> Float[Tensor, " pixels"]:
        return self.kernel.row_sums(math.prod(self.size))

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor] | None:
        """What the rows and the columns of the kernel are multiplied by."""
        if self.normalisation == "none":
            return None
        sums = self._row_sums
        if self.normalisation == "symmetric":
            root = sums.rsqrt().where(sums > 0, 0)
            return root, root
        return sums.reciprocal().where(sums > 0, 0), torch.ones_like(sums)

    @cached_property
    def normalised(self) -> "Lattice | _Exact":
        """The kernel as it is applied."""
        return self.kernel if self._factors is None else self.kernel.scaled(*self._factors)

    @cached_property
    def _backward(self) -> "Lattice | _Exact":
        return self.normalised.transposed()


class _Linear(torch.autograd.Function):
    """A linear map whose gradient is its transpose, as often as one likes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, forward: Any, backward: Any) -> Tensor:  # noqa: ANN401
        ctx.maps = forward, backward
        product: Tensor = forward.times(rows)
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:  # noqa: ANN401
        forward, backward = ctx.maps
        return _Linear.apply(gradients[0], backward, forward), None, None


@dataclass(frozen=True, slots=True)
class _Exact:
    """K by the formula, in tiles that are made anew each time."""

    points: tuple[Float[Tensor, "_ dim"], ...]  # of each image
    pixels: tuple[Int[Tensor, " _"], ...]  # their rows in the tables of values
    self_affinity: bool
    left: Float[Tensor, " pixels"] | None = None  # factors of the rows and of the columns
    right: Float[Tensor, " pixels"] | None = None

    def times(self, rows: Table) -> Table:
        """K times a table with a row for each pixel."""
        given = rows if self.right is None else rows * self.right.to(rows.dtype)[:, None]
        taken = torch.zeros_like(given)
        for points, pixels in zip(self.points, self.pixels, strict=True):
            own, step = given[pixels], max(1, TILE_VALUES // max(1, len(points)))
            for first in range(0, len(points), step):
                affinities = self._affinities(points, first, step).to(rows.dtype)
                taken[pixels[first : first + step]] = affinities @ own
        return taken if self.left is None else taken * self.left.to(rows.dtype)[:, None]

    def _affinities(self, points: Tensor, first: int, step: int) -> Tensor:
        # not by inner products: far from zero they take equal points for different ones
        some = points[first : first + step]
        apart = torch.cdist(some, points, compute_mode="donot_use_mm_for_euclid_dist")
        affinities = apart.square_().mul_(-0.5).exp_()
        if not self.self_affinity:
            affinities.diagonal(first).zero_()
        return affinities

    def transposed(self) -> "_Exact":
        """K^T: K, with factors in each other's place."""
        return replace(self, left=self.right, right=self.left)

    def scaled(self, left: Tensor, right: Tensor) -> "_Exact":
        """K with rows times `left` and columns times `right`."""
        return replace(self, left=left, right=right)

    def row_sums(self, count: int) -> Float[Tensor, " pixels"]:
        """K 1."""
        ones = self.points[0].new_ones(count, 1) if self.points else torch.zeros(count, 1)
        return self.times(ones)[:, 0]


def _points(
    features: Float[Tensor, "batch dim height width"], kept: Tensor | None
) -> tuple[Float[Tensor, "dim points"], Int[Tensor, " points"], Int[Tensor, " points"]]:
    """Features of the pixels that are kept, their places in the batch, and their images."""
    if not features.shape[1]:
        raise ConfigError(f"features: need one or more for each pixel, got {tuple(features.shape)}")
    work = torch.promote_types(features.dtype, torch.float32)
    points = features.detach().to(work).transpose(0, 1).flatten(1)
    pixels = torch.arange(points.shape[1], device=points.device)
    if kept is not None:
        pixels = pixels[kept.flatten()]
        points = points[:, pixels]
    area = features.shape[2] * features.shape[3]
    return points.contiguous(), pixels, pixels // max(1, area)


def _exact(
    points: Float[Tensor, "dim points"],
    pixels: Int[Tensor, " points"],
    images: Int[Tensor, " points"],
    *,
    batch: int,
    self_affinity: bool,
) -> _Exact:
    if not bool(points.isfinite().all()):
        raise ConfigError("features: must be finite, got NaN or infinity")
    members = [(images == image).nonzero()[:, 0] for image in range(batch)]
    return _Exact(
        tuple(points[:, member].T for member in members),
        tuple(pixels[member] for member in members),
        self_affinity,
    )


def _size(features: Tensor) -> tuple[int, int, int]:
    batch, _, height, width = features.shape
    return batch, height, width


def _rows(values: Float[Tensor, "batch channels height width"]) -> Table:
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


def _images(
    rows: Table, size: tuple[int, int, int]
) -> Float[Tensor, "batch channels height width"]:
    return rows.view(*size, rows.shape[1]).permute(0, 3, 1, 2)


def _check_sigma(name: str, sigma: float) -> None:
    if not 0 < sigma < math.inf:
        raise ConfigError(f"{name}: must be positive and finite, got {sigma}")
