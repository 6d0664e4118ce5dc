"""SPML: pixel-to-segment contrastive learning (Ke, Hwang, Yu, ICLR 2021, arXiv:2105.00957)."""

from hintseg.methods.method import Method
from hintseg.methods.spml.presets import PRESETS

LOCALISE, EMBED, RELABEL = "localise", "embed", "relabel"
CLASSIFY, PROTOTYPES = "classify", "prototypes"

SPML = Method(
    name="spml",
    summary="pixel-to-segment contrastive learning: unlabelled pixels teach as well",
    takes="tags, boxes, points, scribbles, polygons, partial masks, in any mix; unlabelled images",
    paper="Ke, Hwang, Yu 2021 (arXiv:2105.00957)",
    code="hintseg.methods.spml.recipe:RECIPE",
    stage_names=(LOCALISE, EMBED, RELABEL, CLASSIFY, PROTOTYPES),
    presets=PRESETS,
)
