"""Energies as terms of a method: what can be set of them, and their losses on a batch."""

from collections.abc import Callable, Mapping
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hintseg.filters.bilateral import bilateral_features, permutohedral_filter
from hintseg.losses.energy import (
    Affinity,
    association_loss,
    crf_loss,
    entropy_loss,
    kernel_cut_loss,
    normalised_cut_loss,
    quadratic_crf_loss,
)
from hintseg.losses.potts import grid_affinity
from hintseg.methods.settings import Settings
from hintseg.models.embedder import Embedder
from hintseg.pooling import pool_images
from hintseg.structures import VOID, Batch

Kind = Literal["none", "crf", "quadratic", "potts", "ncut", "kernelcut", "association"]

POTTS: Mapping[str, Callable[[Tensor, Affinity], Tensor]] = {
    "crf": crf_loss,
    "quadratic": quadratic_crf_loss,
}
CUTS: Mapping[str, Callable[[Tensor, Affinity, Tensor], Tensor]] = {
    "ncut": normalised_cut_loss,
    "kernelcut": kernel_cut_loss,
}


class KernelSettings(Settings):
    """Which pixels are alike."""

    sxy: float = Field(0.2, gt=0, description="standard deviation of the distance, in crops")
    srgb: float = Field(15.0, gt=0, description="standard deviation of the colours, 0 to 255")
    own: bool = Field(True, description="pair every pixel with itself too (not for potts)")


class EnergySettings(Settings):
    """An energy beside another loss of the same logits."""

    kind: Kind = Field("none", description="crf, quadratic, potts, ncut, kernelcut, association")
    weight: float = Field(1.0, ge=0, description="weight of the energy")
    entropy: float = Field(0.0, ge=0, description="weight of the entropy")
    kernel: KernelSettings = KernelSettings()

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that have a weight."""
        has = {"energy": self.kind != "none" and self.weight > 0, "entropy": self.entropy > 0}
        return tuple(name for name, there in has.items() if there)


def energy_losses(
    settings: EnergySettings,
    logits: Float[Tensor, "batch classes rows columns"],
    batch: Batch,
) -> dict[str, Tensor]:
    """The weighted terms of the settings, by name, on the cells of the logits.

    The cells are those of the network, 4 x 4 pixels with the mean of their raw colours: nothing
    finer is in the logits, which are upsampled from there. Cells of padding alone take no part.
    """
    if not settings.terms:
        return {}
    probabilities, losses = logits.float().softmax(dim=1), {}
    images, kept = pool_images(batch.images, batch.labels != VOID, Embedder.stride)
    if "energy" in settings.terms:
        energy = _energy(settings, probabilities, images, kept, ~batch.absent)
        losses["energy"] = settings.weight * energy
    if "entropy" in settings.terms:
        losses["entropy"] = settings.entropy * entropy_loss(probabilities, kept)
    return losses


def _energy(
    settings: EnergySettings, probabilities: Tensor, images: Tensor, kept: Tensor, present: Tensor
) -> Tensor:
    """The energy of these probabilities on these images, in which these classes can be."""
    kernel = settings.kernel
    if settings.kind == "potts":
        return crf_loss(probabilities, grid_affinity(images, kept, srgb=kernel.srgb))
    affinity = dense_affinity(images, kept, kernel)
    if settings.kind == "association":
        return association_loss(probabilities, affinity, kept, present)
    if settings.kind in CUTS:
        return CUTS[settings.kind](probabilities, affinity, present)
    return POTTS[settings.kind](probabilities, affinity)


def dense_affinity(images: Tensor, kept: Tensor, kernel: KernelSettings) -> Affinity:
    """Affinity of all pairs of cells by place and colour, on the lattice."""
    rows, columns = images.shape[-2:]
    sxy = kernel.sxy * max(rows, columns)
    features = bilateral_features(images, sxy=sxy, srgb=kernel.srgb)
    return permutohedral_filter(features, self_affinity=kernel.own, kept=kept)
