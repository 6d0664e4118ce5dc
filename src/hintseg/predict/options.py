"""How an image is to be predicted: what all commands that predict take."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hintseg.errors import ConfigError
from hintseg.predict.views import View, make_views
from hintseg.refine.crf import find_preset

BY = ("classifier", "retrieval", "both", "best")


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """Views to average over, who labels, and what refines.

    Raises:
        ConfigError: An option that cannot work; UnknownNameError for a preset that is none.
    """

    scales: Sequence[float] = (1.0,)  # size factors of the views
    flip: bool = False  # mirror images too
    # or "retrieval"; "both": the mean of the two; "best": that of the two which was better on val
    by: str = "classifier"
    crf: str | None = None  # preset of the dense CRF
    threshold: float | None = None  # of a background and objects: probability of an object
    normalise: bool = False  # stretch each saliency map to 0 to 1 first

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        make_views(self.scales, flip=self.flip)
        if self.by not in BY:
            raise ConfigError(f"by: choose {', '.join(BY[:-1])} or {BY[-1]}, got {self.by!r}")
        if self.crf is not None:
            find_preset(self.crf)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold: must be 0 to 1, got {self.threshold}")

    @property
    def views(self) -> tuple[View, ...]:
        """Every scale, each also mirrored where `flip`."""
        return make_views(self.scales, flip=self.flip)

    @property
    def retrieves(self) -> bool:
        """Whether the nearest known segments are asked, alone or beside the classifier."""
        return self.by != "classifier"

    @property
    def asks_for_objects(self) -> bool:
        """Whether labels come of a saliency map, not of the most probable class."""
        return self.threshold is not None or self.normalise

    def record(self) -> dict[str, Any]:
        """The options as plain values; of a preset its numbers."""
        refined = {} if self.crf is None else {"crf": asdict(find_preset(self.crf))}
        cut = {"threshold": self.threshold, "normalise": self.normalise}
        asked = cut if self.asks_for_objects else {}
        return {"scales": list(self.scales), "flip": self.flip, "by": self.by, **refined, **asked}
