"""From tags alone: localise, expand, refine, train (CAM, AffinityNet, IRNet, SEAM, SC-CAM, RCA).

One recipe, six combinations of its parts: what each paper combines is the default of its method,
and every part can be exchanged (`--set localise.by=seam`, `--set localise.expand.by=irn`).
"""

from collections.abc import Mapping
from typing import Any

from hintseg.methods.method import Method
from hintseg.methods.seeded.presets import (
    AFFINITY_PRESETS,
    CAM_PRESETS,
    IRN_PRESETS,
    RCA_PRESETS,
    SC_CAM_PRESETS,
    SEAM_PRESETS,
)

LOCALISE, TRAIN = "localise", "train"
TAKES = "tags; boxes, points, scribbles, polygons, partial masks as seeds, in any mix"


def _method(
    name: str, summary: str, paper: str, presets: Mapping[str, Any], **localise: object
) -> Method:
    alone: dict[str, Any] = {"agreement": {"rounds": 0}, **localise}
    return Method(
        name=name,
        summary=summary,
        takes=TAKES,
        paper=paper,
        code=f"hintseg.methods.seeded.recipe:{name.upper()}",
        stage_names=(LOCALISE, TRAIN),
        presets=presets,
        defaults={"localise": alone},
    )


CAM = _method(
    "cam",
    "class activation maps: a classifier of tags shows where it looks",
    "Zhou et al. 2016 (arXiv:1512.04150)",
    CAM_PRESETS,
)
AFFINITYNET = _method(
    "affinitynet",
    "activation maps spread by learnt affinities of neighbouring cells",
    "Ahn, Kwak 2018 (arXiv:1803.10464)",
    AFFINITY_PRESETS,
    expand={"by": "affinity"},
)
IRN = _method(
    "irn",
    "activation maps spread between learnt edges",
    "Ahn, Cho, Kwak 2019 (arXiv:1904.05044)",
    IRN_PRESETS,
    expand={"by": "irn"},
)
SEAM = _method(
    "seam",
    "maps that follow a transformation of the image, refined by attention; spread by affinities",
    "Wang et al. 2020 (arXiv:2004.04581)",
    SEAM_PRESETS,
    by="seam",
    output_stride=8,
    expand={"by": "affinity"},
)
SC_CAM = _method(
    "sc_cam",
    "a classifier that must tell kinds of each class; its maps spread by affinities",
    "Chang et al. 2020 (arXiv:2008.01183)",
    SC_CAM_PRESETS,
    by="sc_cam",
    expand={"by": "affinity"},
)
RCA = _method(
    "rca",
    "regions of a class compared with those of all other images, by a memory",
    "Zhou et al. 2022 (arXiv:2203.09653)",
    RCA_PRESETS,
    by="rca",
    output_stride=8,
    crf="psa",
    rule="fusion",
)
