"""SEC: seed, expand, constrain (Kolesnikov and Lampert, ECCV 2016, arXiv:1603.06098)."""

from hintseg.methods.method import Method
from hintseg.methods.sec.presets import PRESETS

LOCALISE, TRAIN = "localise", "train"

SEC = Method(
    name="sec",
    summary="seed, expand, constrain: from tags, by seeds and boundaries",
    takes="tags; boxes, points, scribbles, polygons, partial masks as seeds, in any mix",
    paper="Kolesnikov, Lampert 2016 (arXiv:1603.06098)",
    code="hintseg.methods.sec.recipe:RECIPE",
    stage_names=(LOCALISE, TRAIN),
    presets=PRESETS,
)
