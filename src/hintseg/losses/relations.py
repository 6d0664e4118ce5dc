"""Who attracts and who repels whom: the four relations of SPML as groups and tables.

Ke, Hwang, Yu 2021 (arXiv:2105.00957), section 3.3. A relation never names pairs of pixels and
segments, only groups of them, so its size does not depend on the size of the images.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Relation:
    """A group for every pixel and segment, and what groups are to each other.

    Group -1 is in no relation. `attract` and `repel` are read as [pixel's group, segment's group];
    a pair in neither is left out.
    """

    pixel_group: Int[Tensor, " pixels"]
    segment_group: Int[Tensor, " segments"]
    attract: Bool[Tensor, "groups groups"]
    repel: Bool[Tensor, "groups groups"]

    def counted(self) -> Bool[Tensor, " pixels"]:
        """Pixels that some segment attracts: those over which the loss is a mean."""
        there = torch.zeros(len(self.attract), dtype=torch.bool, device=self.attract.device)
        there[self.segment_group[self.segment_group >= 0]] = True
        attracted = (self.attract & there).any(dim=1)
        if not len(attracted):
            return torch.zeros_like(self.pixel_group, dtype=torch.bool)
        return attracted[self.pixel_group.clamp(min=0)] & (self.pixel_group >= 0)


def same_label(
    pixel_label: Int[Tensor, " pixels"], segment_label: Int[Tensor, " segments"], *, classes: int
) -> Relation:
    """Semantic annotation: equal labels attract, different ones repel; none is neutral."""
    same = torch.eye(classes, dtype=torch.bool, device=pixel_label.device)
    return Relation(pixel_label.clamp(min=-1), segment_label.clamp(min=-1), same, ~same)


def shared_tag(
    pixel_image: Int[Tensor, " pixels"],
    segment_image: Int[Tensor, " segments"],
    tags: Bool[Tensor, "images classes"],
    absent: Bool[Tensor, "images classes"],
) -> Relation:
    """Semantic co-occurrence: images with a class in common attract, those with none repel.

    Two images have no class in common for certain if every class is known to be absent in one of
    them. An image attracts itself; one without any known tag is in no relation.
    """
    known = tags.float()
    possible = (~absent).float()
    tagged = tags.any(dim=1)
    attract = (known @ known.T > 0) & tagged & tagged[:, None]
    repel = (possible @ possible.T == 0) & tagged & tagged[:, None] & ~attract
    groups = torch.arange(len(tags), device=tags.device).where(tagged, -1)
    return Relation(groups[pixel_image], groups[segment_image], attract, repel)


def same_region(
    pixel_region: Int[Tensor, " pixels"], segment_region: Int[Tensor, " segments"]
) -> Relation:
    """Low-level image similarity, within one image: one region attracts, the others repel."""
    distinct, segment_group = segment_region.unique(return_inverse=True)
    pixel_group = torch.searchsorted(distinct, pixel_region.contiguous())
    same = torch.eye(len(distinct), dtype=torch.bool, device=distinct.device)
    return Relation(pixel_group, segment_group, same, ~same)


def shared_set(
    pixel_segment: Int[Tensor, " pixels"], segment_sets: Bool[Tensor, "segments classes"]
) -> Relation:
    """Feature affinity: propagated label sets that meet attract, disjoint ones repel.

    Unresolved segments (an empty set) are in no relation, on neither side.
    """
    distinct, number = segment_sets.unique(dim=0, return_inverse=True)
    meet = (distinct.float() @ distinct.float().T) > 0
    resolved = distinct.any(dim=1)
    segment_group = number.where(resolved[number], -1)
    both = resolved & resolved[:, None]
    return Relation(segment_group[pixel_segment], segment_group, meet, ~meet & both)
