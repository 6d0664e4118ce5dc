"""How hints become pseudo labels, in a stage of a method and in `hintseg label` after it."""

from typing import Literal

from pydantic import Field

from hintseg.methods.settings import Settings, Share
from hintseg.predict.pseudo_labels import SHARPNESS, WALK_STEPS
from hintseg.refine.crf import PresetName


class RelabelSettings(Settings):
    """From hints to pseudo labels."""

    rounds: tuple[Literal["classifier", "retrieval"], ...] = Field(
        ("classifier",), description="who labels before each training on pseudo labels"
    )
    steps: int = Field(WALK_STEPS, ge=0, description="steps of the random walk")
    sharpness: float = Field(
        SHARPNESS, ge=0, description="sharpness of the transitions of the walk"
    )
    confidence: Share = Field(0.7, description="minimum probability of a pseudo label")
    crf: PresetName | None = Field(None, description="dense CRF preset after the walk")
    images: int | None = Field(
        None,
        ge=1,
        description="label so many images, evenly spread, and go on with those; null: all",
    )
