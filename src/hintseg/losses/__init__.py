"""Losses: contrastive, of pixels, of masks as a whole, of tags, of energies, of seeds."""

from hintseg.losses.contrastive import (
    own_segment_loss,
    segment_contrastive_loss,
)
from hintseg.losses.energy import (
    association_loss,
    converted_weight,
    crf_loss,
    entropy_loss,
    kernel_cut_loss,
    normalised_cut_loss,
    quadratic_crf_loss,
)
from hintseg.losses.image_level import (
    tag_loss,
)
from hintseg.losses.overlap import (
    iou_loss,
    soft_cross_entropy,
)
from hintseg.losses.pair_affinity import (
    displacement_loss,
    pair_affinities,
    pair_affinity_loss,
)
from hintseg.losses.pixelwise import (
    absent_class_loss,
    labelled_cross_entropy,
)
from hintseg.losses.potts import (
    grid_affinity,
)
from hintseg.losses.relations import (
    Relation,
    everything_else,
    image_similarity_loss,
    relation_loss,
    same_label,
    same_region,
    shared_set,
    shared_tag,
)
from hintseg.losses.sec import (
    constrain_loss,
    expand_loss,
    seed_loss,
)

__all__ = [
    "Relation",
    "absent_class_loss",
    "association_loss",
    "constrain_loss",
    "converted_weight",
    "crf_loss",
    "displacement_loss",
    "entropy_loss",
    "everything_else",
    "expand_loss",
    "grid_affinity",
    "image_similarity_loss",
    "iou_loss",
    "kernel_cut_loss",
    "labelled_cross_entropy",
    "normalised_cut_loss",
    "own_segment_loss",
    "pair_affinities",
    "pair_affinity_loss",
    "quadratic_crf_loss",
    "relation_loss",
    "same_label",
    "same_region",
    "seed_loss",
    "segment_contrastive_loss",
    "shared_set",
    "shared_tag",
    "soft_cross_entropy",
    "tag_loss",
]
