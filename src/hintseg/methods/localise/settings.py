"""What can be set of the seeds for tags and boxes."""

from typing import Literal

from pydantic import Field, model_validator

from hintseg.methods.settings import Settings, Share
from hintseg.refine.crf import PresetName


class AgreementSettings(Settings):
    """How the maps of all images are brought to agree before they become seeds."""

    rounds: int = Field(
        6,
        ge=0,
        description="rounds of agreement between all images; 0: each image alone",
    )
    steps: int = Field(60, ge=1, description="of the classifier of cells in a round")
    trust: float = Field(6.0, gt=0, description="weight of the activation map, in log-odds")
    exponent: float = Field(
        0.5,
        gt=0,
        description="exponent of the background score (1 - best map)^exponent",
    )
    balance: Share = Field(
        0.5, description="0: classes are as frequent as the maps say; 1: all equally frequent"
    )
    regions: int = Field(
        50, ge=1, description="regions of an image; the cells of a region vote together"
    )
    cells: int = Field(
        200_000, ge=1, description="largest number of cells kept in memory, of all images together"
    )
    sure: Share = Field(0.95, description="minimum probability of a seed")


class SeamSettings(Settings):
    """SEAM: two views of an image, and attention between cells."""

    scale: float | None = Field(
        None,
        gt=0,
        le=1,
        description="size of the second view; null: a half, more where crops are below 224 pixels",
    )
    flip: bool = Field(False, description="the second view is mirrored")
    equivariance: float = Field(
        0.1, ge=0, description="weight: raw maps of both views agree, over the present classes"
    )
    cross: float = Field(
        1.0, ge=0, description="weight: refined maps of one view agree with raw ones of the other"
    )
    empty: float = Field(1.0, ge=0, description="weight: the lowest cells hold no class")
    hard: Share = Field(0.2, description="share of the cross differences that count, the hardest")
    refined: bool = Field(True, description="seeds come from the refined maps, not the raw ones")
    through: bool = Field(
        False, description="all terms train all weights (as described, not as released)"
    )


class SubCategorySettings(Settings):
    """SC-CAM: kinds of each class by k-means."""

    rounds: int = Field(1, ge=0, description="classifiers trained with kinds, one after the other")
    kinds: int = Field(10, ge=1, description="kinds of a class; fewer where it has fewer images")
    weight: float = Field(5.0, ge=0, description="weight of the kinds beside the tags")
    warm: bool = Field(
        True, description="a round goes on from the weights of the one before; false: anew"
    )
    unit: bool = Field(False, description="only the direction of what an image looks like counts")


class RegionMemorySettings(Settings):
    """RCA: regions are compared with those of all other images."""

    slots: int = Field(
        100,
        ge=0,
        description="regions of a class that are remembered; 0: regions are compared within the "
        "batch, and nothing is looked up",
    )
    momentum: Share = Field(0.9, description="share of what a slot held, from its second write on")
    sure: Share = Field(0.7, description="least probability of a class whose region is remembered")
    centroids: int = Field(10, ge=0, description="of each class, that cells look up; 0: none")
    attention: Literal["softmax", "released"] = Field(
        "softmax", description="how cells look them up; released: without a softmax"
    )
    contrast: float = Field(0.01, ge=0, description="weight of regions against the memory; 0: off")
    mix: bool = Field(True, description="regions are mixed by two before they are compared")
    coarse: float = Field(0.4, ge=0, description="weight of the coarse scores")
    moments: tuple[Share, ...] = Field(
        (0.6, 0.8), description="parts of the training after which maps are taken, too"
    )
    least: Share = Field(
        0.1, description="probability of a class below which a map of such a moment is left out"
    )


class ExpandSettings(Settings):
    """How maps spread to the cells that belong together."""

    by: Literal["none", "affinity", "irn", "embedding"] = Field(
        "none",
        description="affinity: learnt of pairs (AffinityNet); irn: learnt edges; embedding: what "
        "the classifier sees",
    )
    steps: int | None = Field(
        None, ge=1, description="training steps; null: 0.4 of the run; not of embedding"
    )
    lr_factor: float = Field(1.0, gt=0, description="factor on train.lr")
    low: float = Field(
        4.0, gt=0, description="background exponent under which foreground is confident"
    )
    high: float = Field(
        24.0, gt=0, description="background exponent under which background is confident"
    )
    margin: Share = Field(
        0.2, description="minimum lead of a confident map over the second; without background"
    )
    crf: PresetName | None = Field(None, description="dense CRF preset of the confident labels")
    radius: float | None = Field(
        None, gt=1, description="cells of a pair while it learns; null: 5 of 8 px, irn 10 of 4 px"
    )
    beta: float | None = Field(
        None, ge=0, description="power of the affinities; null: 8, irn 10, embedding 10"
    )
    walk: int = Field(64, ge=0, description="steps of the random walk")
    exponent: float = Field(6.0, gt=0, description="of the background score that walks along")


class LocaliseSettings(Settings):
    """How the classifier is trained and how its maps become seeds."""

    by: Literal["cam", "seam", "sc_cam", "rca"] = Field(
        "cam", description="what makes the maps: a classifier alone, SEAM, SC-CAM or RCA"
    )
    steps: int | None = Field(
        None, ge=0, description="steps of the tag classifier; 0: no seeds; null: 0.4 of the run"
    )
    images: int | None = Field(
        None, ge=1, description="make seeds for so many images, evenly spread; null: all"
    )
    lr_factor: float = Field(2.0, gt=0, description="factor on train.lr for the classifier")
    scale: tuple[float, float] = Field(
        (1.2, 2.4), description="range of the longer side of a training image, in crops"
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate of the features of the classifier"
    )
    output_stride: Literal[8, 16, 32] = Field(
        16, description="pixels per cell of the activation maps"
    )
    scales: tuple[float, ...] = Field(
        (1.5, 2.5), min_length=1, description="longer sides of the views of the maps, in crops"
    )
    flip: bool = Field(True, description="average over mirror images too")
    rule: Literal["cut", "fusion"] = Field(
        "cut",
        description="how maps become seeds: cut by thresholds; or the marginals of the dense CRF "
        "fused with a saliency map, of the cue or their own (fusion; no background: cut)",
    )
    threshold: Share = Field(
        0.7,
        description="minimum activation of a foreground seed, where other classes are possible",
    )
    margin: Share = Field(0.15, description="minimum lead of the best map over the second")
    background_threshold: Share = Field(
        0.2, description="minimum background score of a background seed"
    )
    exponent: float | None = Field(
        None,
        gt=0,
        description="of the background score (1 - best map)^exponent; null: 6, rule fusion 1.5",
    )
    background: Literal["score", "saliency"] = Field(
        "score", description="source of background seeds: low maps (score), or non-salient places"
    )
    saliency: Share = Field(
        0.1, description="share of the least salient pixels that become background seeds"
    )
    cue: str | None = Field(
        None, description="folder of a run of method ldf whose saliency says where background is"
    )
    cue_sure: Share = Field(
        0.9, description="minimum 1 - saliency of a background seed by a cue, of single images"
    )
    box_threshold: Share = Field(
        0.5, description="minimum activation of a foreground seed in images with boxes"
    )
    seam: SeamSettings = SeamSettings()
    sub: SubCategorySettings = SubCategorySettings()
    regional: RegionMemorySettings = RegionMemorySettings()
    expand: ExpandSettings = ExpandSettings()
    agreement: AgreementSettings = AgreementSettings()
    crf: PresetName | None = Field(
        None,
        description="dense CRF preset; seeds that it contradicts are dropped (fusion: psa)",
    )

    @model_validator(mode="after")
    def _saliency_is_used(self) -> "LocaliseSettings":
        """One answer only to where the background is.

        What agrees across images has probabilities of the background, and no use for another one.
        """
        if self.background == "saliency" and self.agreement.rounds:
            raise ValueError("background=saliency needs agreement.rounds=0")
        if self.background == "saliency" and self.cue is not None:
            raise ValueError("background=saliency and a cue are two answers; leave one out")
        if self.rule == "fusion" and (self.agreement.rounds or self.background == "saliency"):
            raise ValueError("rule=fusion needs agreement.rounds=0 and background=score")
        return self
