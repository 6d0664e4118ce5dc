"""Cross-entropy on pixels: `full` on dense masks, `partial` on the labelled pixels of hints."""

from hintseg.methods.cross_entropy.presets import PRESETS
from hintseg.methods.method import Method

FULL = Method(
    name="full",
    summary="cross-entropy on dense masks: the ceiling",
    takes="dense masks of all train images",
    paper="Chen et al. 2017, DeepLab (arXiv:1606.00915)",
    code="hintseg.methods.cross_entropy.recipe:FULL",
    presets=PRESETS,
)

PARTIAL = Method(
    name="partial",
    summary="cross-entropy on the labelled pixels only: the baseline",
    takes="points, scribbles, polygons, partial masks; boxes as background outside them",
    paper="Tang et al. 2018 (arXiv:1804.01346), first term",
    code="hintseg.methods.cross_entropy.recipe:PARTIAL",
    presets=PRESETS,
)
