"""What can be set of SPML; the defaults are for a small machine, chosen on MSRC-21's val split."""

from typing import Literal

from pydantic import Field

from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.relabelling import RelabelSettings
from hintseg.methods.settings import Settings


class Weights(Settings):
    """Of the four relations; 0: the relation is not computed."""

    annotation: float = Field(
        1.0, ge=0, description="weight: equal labels attract, different labels repel"
    )
    cooccurrence: float = Field(0.5, ge=0, description="weight: images that share a tag attract")
    similarity: float = Field(0.1, ge=0, description="weight: pixels of one region attract")
    affinity: float = Field(0.0, ge=0, description="weight: equal propagated labels attract")


class Concentrations(Settings):
    """Inverse temperatures of the four relations."""

    annotation: float = Field(6.0, gt=0)
    cooccurrence: float = Field(8.0, gt=0)
    similarity: float = Field(16.0, gt=0)
    affinity: float = Field(12.0, gt=0)


class RegionSettings(Settings):
    """The over-segmentation of the raw images."""

    count: int = Field(50, ge=1, description="largest number of regions in an image")
    edges: str | None = Field(None, description="folder with your edge maps, NAME.png")
    maps: str | None = Field(None, description="folder with your region maps, NAME.png")


class AffinitySettings(Settings):
    """How labels are propagated for the relation of feature affinity."""

    nearest: int = Field(
        1, ge=1, description="number of labelled segments that propagate their label"
    )
    threshold: float = Field(
        0.95, ge=-1, le=1, description="minimum cosine similarity for propagation"
    )


class ClassifySettings(Settings):
    """The classifier trained on pseudo labels."""

    steps: int | None = Field(
        None, ge=0, description="0: no such stage; null: 0.2 of the run after seeds, else none"
    )
    lr: float = Field(1e-3, gt=0)
    scale: tuple[float, float] = Field(
        (0.9, 1.1), description="range of the size factor, times train.zoom"
    )
    frozen: bool = Field(True, description="do not train the embedding")


class RetrievalSettings(Settings):
    """Prototypes for prediction by retrieval."""

    grid: int = Field(12, ge=1, description="side of the k-means partition of an image")
    masks: bool = Field(False, description="name the segments by dense masks (full supervision)")
    images: int | None = Field(
        None, ge=1, description="remember the segments of so many images, evenly spread; null: all"
    )


class SPMLSettings(Settings):
    """All of SPML."""

    labels: Literal["hints", "masks"] = Field("hints", description="what it learns from")
    relations: Weights = Weights()
    concentrations: Concentrations = Concentrations()
    spread: bool = Field(True, description="hints grow over what looks like them in their region")
    grid: int = Field(6, ge=1, description="side of the k-means partition of a crop")
    iterations: int = Field(10, ge=0, description="iterations of k-means")
    memory: int = Field(2, ge=0, description="number of past steps whose prototypes are kept")
    pixels: int | None = Field(
        4096, ge=1, description="largest number of pixels that a relation uses in a step; null: all"
    )
    plain: bool = Field(
        False, description="only the own segment attracts (the first form of SegSort)"
    )
    across: bool = Field(False, description="image similarity: all other segments repel")
    located: bool = Field(True, description="image similarity uses the place of a pixel too")
    classifier: float = Field(1.0, ge=0, description="weight of the joint classifier")
    absent: float = Field(
        0.3, ge=0, description="weight of the loss on classes that the tags exclude"
    )
    detach: bool = Field(False, description="the joint classifier does not train the embedding")
    affinity: AffinitySettings = AffinitySettings()
    regions: RegionSettings = RegionSettings()
    localise: LocaliseSettings = LocaliseSettings()
    relabel: RelabelSettings = RelabelSettings()
    classify: ClassifySettings = ClassifySettings()
    retrieval: RetrievalSettings = RetrievalSettings()
