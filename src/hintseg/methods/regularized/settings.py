"""What can be set of the regularised losses."""

from pydantic import Field

from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.settings import Settings, Share
from hintseg.methods.terms.energy import EnergySettings, KernelSettings, Kind


class FirstSettings(Settings):
    """A whole training with the cross-entropy alone, before the other."""

    steps: int = Field(
        0, ge=0, description="steps of a training without the energy before; 0: none"
    )
    lr: float | None = Field(None, gt=0, description="learning rate of new weights; null: train.lr")


class RegularizedSettings(Settings):
    """All of the regularised losses."""

    energy: Kind = Field("crf", description="crf, quadratic, potts, ncut, kernelcut, association")
    weight: float = Field(0.3, ge=0, description="weight of the energy")
    entropy: float = Field(0.0, ge=0, description="weight of the entropy")
    absent: float = Field(
        0.3, ge=0, description="weight of the loss on classes that the tags exclude"
    )
    kernel: KernelSettings = KernelSettings()
    start: Share = Field(0.2, description="share of the steps before the energy begins")
    ramp: Share = Field(
        0.2, description="share of the steps in which the weight of the energy rises"
    )
    first: FirstSettings = FirstSettings()
    localise: LocaliseSettings = LocaliseSettings(steps=0)

    def terms(self, rise: float) -> EnergySettings:
        """What is added to the cross-entropy, weights times `rise`."""
        return EnergySettings(
            kind=self.energy,
            weight=rise * self.weight,
            entropy=rise * self.entropy,
            kernel=self.kernel,
        )
