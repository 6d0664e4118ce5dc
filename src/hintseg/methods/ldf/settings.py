"""What can be set of LDF."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hintseg.methods.settings import Settings

Auxiliary = Literal["body+detail", "body+edge", "saliency+detail", "saliency+edge"]
Factor = Annotated[float, Field(ge=0.25, le=4)]


class LDFSettings(Settings):
    """All of LDF."""

    foreground: str | None = Field(
        None,
        description="what the objects are: any (all classes but the background), or one class; "
        "null: the one class beside the background",
    )
    labels: Literal["masks", "hints"] = Field(
        "masks", description="learn from dense masks, or from the labelled pixels of hints"
    )
    teacher: str | None = Field(
        None,
        description="with labels=hints: folder of a run (spml, partial, ...) that labels the other "
        "pixels for stage fine; null: the network of stage coarse does",
    )
    auxiliary: Auxiliary = Field(
        "body+detail", description="what the two branches learn beside the objects"
    )
    gamma: float = Field(
        0.5, gt=0, description="exponent of the body: 0.5 as released, 1 as published"
    )
    released: bool = Field(False, description="blur the mask before its body is made, as released")
    per_component: bool = Field(
        False, description="the deepest pixel of each connected object is all body"
    )
    iterations: int = Field(2, ge=1, le=8, description="how often the branches are decoded")
    fine_steps: int | None = Field(
        None, ge=0, description="steps of the stage fine; null: train.steps; 0: no such stage"
    )
    schedule: Literal["triangular", "poly"] = Field(
        "triangular", description="how the learning rate changes: up and down, or falling"
    )
    sizes: tuple[Factor, ...] = Field(
        (0.75, 0.875, 1.0, 1.125, 1.25),
        min_length=1,
        description="sides of the batches in crops; each batch is brought to one of them",
    )

    @model_validator(mode="after")
    def _a_teacher_has_pupils(self) -> "LDFSettings":
        """It labels what hints leave, for stage fine."""
        if self.teacher is not None and (self.labels == "masks" or self.fine_steps == 0):
            raise ValueError("a teacher needs labels=hints and a stage fine (fine_steps above 0)")
        return self
