"""Seeds of single images by the dense CRF and a saliency map (RCA)."""

import torch
from jaxtyping import Float
from torch import Tensor

from hintseg.methods.localise.seeder import Seeder, in_boxes, missing_only
from hintseg.refine.crf import PresetName, dense_crf
from hintseg.seeds.activation import background_score
from hintseg.seeds.fusion import fused_labels
from hintseg.structures import LabelMap, Sample, ScoreMaps

PRESET: PresetName = "psa"  # as published, where the settings name none
EXPONENT = 1.5  # the published 4 trusts in a saliency map to find the background


class FusedSeeder:
    """A seeder that lets a dense CRF and a saliency map decide (Zhou et al. 2022).

    The maps and the background score (1 - best map)^exponent go through the dense CRF. Its
    marginals are fused with the saliency of a cue; without one, with 1 less the marginal of the
    background (`seeds.fused_labels`).

    Args:
        alone: Looks at one image; the data set has a background.
    """

    def __init__(self, alone: Seeder) -> None:
        assert alone.classes.background is not None, "the settings were asked"
        self.alone, self.background = alone, alone.classes.background

    def maps(self, sample: Sample) -> ScoreMaps:
        """The marginals of the known tags, and the class of each."""
        marginals, seen = self._marginals(sample)
        return ScoreMaps(marginals[1:], seen.labels)

    def seeds(self, sample: Sample) -> LabelMap:
        """Seeds of the missing classes on the unlabelled pixels; UNLABELLED elsewhere."""
        marginals, seen = self._marginals(sample)
        cue, weak = self.alone.cue, sample.weak
        ground = marginals[0] if cue is None else cue(sample)
        found = fused_labels(marginals[1:], seen.labels, 1 - ground, self.background)
        certain = self.alone.certain(weak)
        return missing_only(found.where(certain < 0, certain).numpy(), weak, self.alone.classes)

    def _marginals(self, sample: Sample) -> tuple[Float[Tensor, "classes height width"], ScoreMaps]:
        """Of the background, then of the maps of the other classes."""
        settings, seen = self.alone.settings, self.alone.maps(sample)
        own = seen.labels == self.background  # a walk has carried one along
        maps = ScoreMaps(seen.maps[~own], seen.labels[~own])
        boxed = in_boxes(maps, torch.from_numpy(sample.weak.boxes).float())
        ground = (
            seen.maps[own]
            if own.any()
            else background_score(boxed, settings.exponent or EXPONENT)[None]
        )
        scores = torch.cat([ground, boxed])
        return dense_crf(sample.image, scores, preset=settings.crf or PRESET), maps
