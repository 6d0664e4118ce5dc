"""What can be set of SEC; the numbers are those of Kolesnikov and Lampert 2016, as released."""

from pydantic import Field

from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.terms.size_and_boundary import SizeAndBoundarySettings


class SECSettings(SizeAndBoundarySettings):
    """All of SEC."""

    seed: float = Field(1.0, ge=0, description="weight of the seed loss")
    localise: LocaliseSettings = LocaliseSettings()
