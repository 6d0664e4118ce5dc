"""Who attracts and who repels whom: the four relations of SPML as groups and tables.

Ke, Hwang, Yu 2021 (arXiv:2105.00957), section 3.3. A relation never names pairs of pixels and
segments, only groups of them, so its size does not depend on the size of the images.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.distributed import divisor
from hintseg.losses.contrastive import own_segment_loss, segment_contrastive_loss
from hintseg.structures import Segments


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

    def of(self, pixels: Int[Tensor, " chosen"]) -> "Relation":
        """The same relation of some of the pixels."""
        return replace(self, pixel_group=self.pixel_group[pixels])

    def own_counted(self, own: Int[Tensor, " pixels"]) -> Bool[Tensor, " pixels"]:
        """Pixels that count where only their own segment attracts them."""
        return (self.segment_group[own] >= 0) & (self.pixel_group >= 0)


def same_label(
    pixel_label: Int[Tensor, " pixels"], segment_label: Int[Tensor, " segments"], *, classes: int
) -> Relation:
    """Semantic annotation: equal labels attract, different ones repel; none is neutral.

    Example:
        >>> import torch
        >>> relation = same_label(torch.tensor([0, -1]), torch.tensor([0, 1]), classes=2)
        >>> relation.counted()  # the second pixel has no label
        tensor([ True, False])
    """
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

    Example:
        >>> import torch
        >>> tags = torch.tensor([[True, False], [False, True]])
        >>> relation = shared_tag(torch.tensor([0, 1]), torch.tensor([0, 1]), tags, ~tags)
        >>> relation.repel
        tensor([[False,  True],
                [ True, False]])
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
    """Low-level image similarity, within one image: one region attracts, the others repel.

    Example:
        >>> import torch
        >>> same_region(torch.tensor([3, 5]), torch.tensor([3, 5, 5])).segment_group
        tensor([0, 1, 1])
    """
    distinct, segment_group = torch.unique(segment_region, return_inverse=True)
    pixel_group = torch.searchsorted(distinct, pixel_region.contiguous())
    same = torch.eye(len(distinct), dtype=torch.bool, device=distinct.device)
    return Relation(pixel_group, segment_group, same, ~same)


def shared_set(
    pixel_segment: Int[Tensor, " pixels"], segment_sets: Bool[Tensor, "segments classes"]
) -> Relation:
    """Feature affinity: propagated label sets that meet attract, disjoint ones repel.

    Unresolved segments (an empty set) are in no relation, on neither side.

    Example:
        >>> import torch
        >>> sets = torch.tensor([[True, False], [True, True], [False, False]])
        >>> relation = shared_set(torch.tensor([0, 2]), sets)
        >>> relation.counted()  # a segment without a set is in no relation
        tensor([ True, False])
    """
    distinct, number = torch.unique(segment_sets, dim=0, return_inverse=True)
    meet = (distinct.float() @ distinct.float().T) > 0
    resolved = distinct.any(dim=1)
    segment_group = number.where(resolved[number], -1)
    both = resolved & resolved[:, None]
    return Relation(segment_group[pixel_segment], segment_group, meet, ~meet & both)


def everything_else(pixels: int, segments: int, *, device: torch.device) -> Relation:
    """For the plain form: all segments repel but the pixel's own (SegSort without any label).

    Example:
        >>> import torch
        >>> relation = everything_else(2, 3, device=torch.device("cpu"))
        >>> relation.repel, relation.attract
        (tensor([[True]]), tensor([[False]]))
    """
    return Relation(
        torch.zeros(pixels, dtype=torch.long, device=device),
        torch.zeros(segments, dtype=torch.long, device=device),
        attract=torch.zeros(1, 1, dtype=torch.bool, device=device),
        repel=torch.ones(1, 1, dtype=torch.bool, device=device),
    )


def relation_loss(
    pixels: Float[Tensor, "pixels dim"],
    prototypes: Float[Tensor, "segments dim"],
    own: Int[Tensor, " pixels"],
    relation: Relation,
    *,
    concentration: float,
    plain: bool = False,
    most: int | None = None,
) -> Float[Tensor, ""]:
    """The contrastive loss of a relation, averaged over the pixels of all ranks that count.

    `plain`: only the own segment attracts. `most`: of the pixels that count, so many are drawn at
    random, for speed; the loss and its gradient keep their expectation.

    Example:
        >>> import torch
        >>> pixels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> relation = same_label(torch.tensor([0, 1]), torch.tensor([0, 1, 1]), classes=2)
        >>> own = torch.tensor([0, 1])
        >>> loss = relation_loss(pixels, prototypes, own, relation, concentration=6.0)
        >>> round(loss.item(), 3)
        0.049
    """
    counted = relation.own_counted(own) if plain else relation.counted()
    count = divisor(counted.sum())
    if most is not None and int(counted.sum()) > most:
        places = counted.nonzero()[:, 0]
        drawn = places[torch.randperm(len(places), device=places.device)[:most]]
        pixels, own, relation = pixels[drawn], own[drawn], relation.of(drawn)
        count = count * most / len(places)
    loss = _sum(pixels, prototypes, own, relation, concentration=concentration, plain=plain)
    return loss / count


def image_similarity_loss(
    pixels: Float[Tensor, "pixels dim"],
    prototypes: Float[Tensor, "segments dim"],
    segments: Segments,
    *,
    concentration: float,
    images: int,
    plain: bool = False,
) -> Float[Tensor, ""]:
    """Low-level image similarity: the mean over the images of the mean over their pixels.

    Pixels and segments are those of one batch of `images` images, in order of image.

    Example:
        >>> import torch
        >>> from hintseg.structures import Segments
        >>> pixels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # two pixels, two regions of one image
        >>> one, two = torch.tensor([0, 1]), torch.tensor([0, 0])
        >>> segments = Segments(kept=one, member=one, image=two, label=two - 1, region=one)
        >>> loss = image_similarity_loss(pixels, pixels, segments, concentration=6.0, images=1)
        >>> round(loss.item(), 4)
        0.0025
    """
    pieces = segments.image[segments.member].bincount(minlength=images).tolist()
    parts = segments.image.bincount(minlength=images).tolist()
    loss, begin, first = pixels.sum() * 0, 0, 0
    for rows, count in zip(pieces, parts, strict=True):
        here, there = slice(begin, begin + rows), slice(first, first + count)
        own, region = segments.member[here] - first, segments.region[there]
        relation = same_region(region[own], region)
        part = _sum(
            pixels[here],
            prototypes[there],
            own,
            relation,
            concentration=concentration,
            plain=plain,
        )
        loss = loss + part / max(rows, 1)  # in its own image every pixel counts
        begin, first = begin + rows, first + count
    return loss / max(images, 1)


def _sum(
    pixels: Tensor,
    prototypes: Tensor,
    own: Tensor,
    relation: Relation,
    *,
    concentration: float,
    plain: bool,
) -> Tensor:
    if plain:
        return own_segment_loss(
            pixels,
            prototypes,
            own,
            relation.pixel_group,
            relation.segment_group,
            relation.repel,
            concentration=concentration,
            reduction="sum",
        )
    return segment_contrastive_loss(
        pixels,
        prototypes,
        own,
        relation.pixel_group,
        relation.segment_group,
        relation.attract,
        relation.repel,
        concentration=concentration,
        reduction="sum",
    )
