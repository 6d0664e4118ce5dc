"""What can be set of the seeds for tags and boxes."""

from typing import Literal

from pydantic import Field, model_validator

from hintseg.methods.settings import Settings, Share
from hintseg.refine.crf import PresetName


class AgreementSettings(Settings):
    """How the maps of all images are brought to agree before they become seeds."""

    rounds: int = Field(6, ge=0, description="0: the maps of an image alone make its seeds")
    steps: int = Field(60, ge=1, description="of the classifier of cells in a round")
    trust: float = Field(6.0, gt=0, description="log-odds that a map of 1 is worth")
    exponent: float = Field(
        0.5, gt=0, description="of the background score (1 - best map)^exponent; small: more of it"
    )
    balance: Share = Field(0.5, description="0: classes are as common as they seem; 1: equally")
    regions: int = Field(50, ge=1, description="of an image; each agrees with itself")
    cells: int = Field(200_000, ge=1, description="that are kept of all images together")
    sure: Share = Field(0.95, description="least probability of a seed")


class LocaliseSettings(Settings):
    """How the classifier is trained and how its maps become seeds."""

    steps: int | None = Field(
        None, ge=0, description="of the classifier of tags; 0: no such seeds; null: 0.4 of the run"
    )
    lr_factor: float = Field(2.0, gt=0, description="times train.lr, for the classifier")
    scale: tuple[float, float] = Field(
        (1.2, 2.4), description="longer side of an image in its training, in crops"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="of the features that it reads")
    output_stride: Literal[8, 16, 32] = Field(16, description="pixels per cell of its maps")
    scales: tuple[float, ...] = Field(
        (1.5, 2.5), min_length=1, description="longer side of the views of the maps, in crops"
    )
    flip: bool = Field(True, description="maps of the mirror images too")
    threshold: Share = Field(
        0.7, description="least map of a seed where what has no map may be: background, unknown"
    )
    margin: Share = Field(0.15, description="by which the map of a seed leads the next")
    background_threshold: Share = Field(0.2, description="least background score of a seed")
    exponent: float = Field(
        6.0, gt=0, description="of the background score (1 - best map)^exponent"
    )
    background: Literal["score", "saliency"] = Field(
        "score", description="seeds of it: where no map is high, or where the tags hardly depend"
    )
    saliency: Share = Field(0.1, description="least salient part of an image that is background")
    box_threshold: Share = Field(0.5, description="as threshold, in images with boxes")
    agreement: AgreementSettings = AgreementSettings()
    crf: PresetName | None = Field(
        None, description="preset of a dense CRF; seeds that it contradicts are dropped"
    )

    @model_validator(mode="after")
    def _saliency_is_used(self) -> "LocaliseSettings":
        """What agrees across images has probabilities of the background, and no use for it."""
        if self.background == "saliency" and self.agreement.rounds:
            raise ValueError("background=saliency needs agreement.rounds=0")
        return self
