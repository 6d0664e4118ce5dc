"""LDF: label decoupling for salient objects (Wei et al., CVPR 2020, arXiv:2008.11048)."""

from hintseg.methods.ldf.presets import PRESETS
from hintseg.methods.method import Method

COARSE, FINE = "coarse", "fine"

LDF = Method(
    name="ldf",
    summary="label decoupling: objects against a background, by their body and their detail",
    takes="dense masks of a background and objects; or points, scribbles, polygons, partial masks",
    paper="Wei et al. 2020 (arXiv:2008.11048)",
    code="hintseg.methods.ldf.recipe:RECIPE",
    stage_names=(COARSE, FINE),
    presets=PRESETS,
)
