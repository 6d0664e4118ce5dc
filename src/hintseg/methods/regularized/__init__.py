"""Regularised losses: partial cross-entropy and an energy of the whole labelling (Tang et al.)."""

from hintseg.methods.method import Method
from hintseg.methods.regularized.presets import PRESETS

LOCALISE, FIRST, TRAIN = "localise", "partial", "train"

REGULARIZED = Method(
    name="regularized",
    summary="cross-entropy on labelled pixels, and an energy of all",
    takes="points, scribbles, polygons, partial masks; boxes as background outside them",
    paper="Tang et al. 2018 (arXiv:1804.01346, arXiv:1803.09569)",
    code="hintseg.methods.regularized.recipe:RECIPE",
    stage_names=(LOCALISE, FIRST, TRAIN),
    presets=PRESETS,
    defaults={"localise": {"steps": 0}},  # the papers make no seeds
)
