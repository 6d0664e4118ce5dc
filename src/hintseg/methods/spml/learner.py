"""SPML: pixel-to-segment contrastive learning (Ke, Hwang, Yu, ICLR 2021, arXiv:2105.00957).

Pixels are drawn to some segments and pushed from others by four relations: equal labels (semantic
annotation), a shared tag (semantic co-occurrence), one region (low-level image similarity) and
equal propagated labels (feature affinity). Unlabelled pixels take part in all but the first. With
masks or without any hint it is SegSort (Hwang et al., ICCV 2019, arXiv:1910.06962).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hintseg.losses.pixelwise import absent_class_loss, labelled_cross_entropy
from hintseg.losses.relations import (
    Relation,
    everything_else,
    image_similarity_loss,
    relation_loss,
    same_label,
    shared_set,
    shared_tag,
)
from hintseg.methods.spml.settings import SPMLSettings
from hintseg.models.embedder import Segmenter, upsample
from hintseg.pooling import pool_labels
from hintseg.segments.gather import gather_prototypes, gather_vectors
from hintseg.segments.kmeans import with_location
from hintseg.segments.memory import MemoryBank
from hintseg.segments.prototypes import (
    find_segments,
    mean_directions,
    propagate_labels,
    unit_cells,
)
from hintseg.structures import REGIONS, UNLABELLED, Batch, Prototypes, Segments


class RelationLearner:
    """An embedder that learns from the relations, and a classifier beside it."""

    def __init__(
        self, model: Segmenter, settings: SPMLSettings, *, background: int | None = None
    ) -> None:
        self.model = model
        self.pretrained = model.embedder.backbone
        self.settings, self.background = settings, background
        self.bank = MemoryBank(settings.memory)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The weighted relations, and what the joint classifier learns from."""
        embeddings = self.model.embedder(batch.images)
        cells = pool_labels(batch.labels, self.model.embedder.stride)
        view = self._view(embeddings, cells, batch)
        seen = embeddings.detach() if self.settings.detach else embeddings
        logits = self.model.classify(seen)
        losses = self._relations(view, batch)
        full = upsample(logits, *batch.labels.shape[-2:])
        loss = labelled_cross_entropy(full, batch.labels)
        losses["classifier"] = self.settings.classifier * loss
        if self.settings.absent:
            loss = absent_class_loss(logits, cells, batch.absent)
            losses["absent"] = self.settings.absent * loss
        return losses

    def memory(self) -> dict[str, Tensor]:
        """The remembered prototypes."""
        return self.bank.state()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take the prototypes back."""
        self.bank.restore(memory)

    def _view(self, embeddings: Tensor, labels: Tensor, batch: Batch) -> "_View":
        """The segments of a batch, of cells with these labels; its regions shrink to cells."""
        whole = batch.maps.get(REGIONS, batch.labels.clamp(max=0))
        segments, location = find_segments(
            embeddings,
            labels,
            pool_labels(whole, self.model.embedder.stride),
            grid=self.settings.grid,
            iterations=self.settings.iterations,
        )
        cells = unit_cells(embeddings).flatten(0, 2)
        pixels = cells.index_select(0, segments.kept)
        located = with_location(pixels, location)
        vectors = mean_directions(pixels, segments.member, len(segments))
        places = mean_directions(located, segments.member, len(segments))
        return _View(segments, pixels, vectors, located, places)

    def _relations(self, view: "_View", batch: Batch) -> dict[str, Tensor]:
        """Every relation that has a weight, times that weight."""
        weights = self.settings.relations
        losses = {}
        if weights.annotation or weights.cooccurrence or weights.affinity:
            losses = self._across_images(view, batch)
        if weights.similarity:
            loss = self._image_similarity(view, len(batch))
            losses["similarity"] = weights.similarity * loss
        return losses

    def _across_images(self, view: "_View", batch: Batch) -> dict[str, Tensor]:
        """The relations to the segments of all images, of all ranks and of the memory."""
        weights, segments, classes = self.settings.relations, view.segments, batch.tags.shape[1]
        sets, tags, absent = self._propagated(view, classes), batch.tags, batch.absent
        if self.background is not None:  # that both have a background makes no images alike
            column = torch.arange(classes, device=tags.device) == self.background
            tags, absent = tags & ~column, absent | column
        mine = Prototypes(view.prototypes, segments.label, segments.image, sets, tags, absent)
        current, first, first_image = gather_prototypes(mine)
        known = self.bank.behind(current)
        self.bank.append(current)
        own = segments.member + first

        def loss(relation: Relation, concentration: float) -> Tensor:
            return relation_loss(
                view.pixels,
                known.vectors,
                own,
                relation,
                concentration=concentration,
                plain=self.settings.plain,
                most=self.settings.pixels,
            )

        sharp, losses = self.settings.concentrations, {}
        if weights.annotation:
            relation = same_label(segments.label[segments.member], known.label, classes=classes)
            losses["annotation"] = weights.annotation * loss(relation, sharp.annotation)
        if weights.cooccurrence:
            image = segments.image[segments.member] + first_image
            relation = shared_tag(image, known.image, known.tags, known.absent)
            losses["cooccurrence"] = weights.cooccurrence * loss(relation, sharp.cooccurrence)
        if weights.affinity:
            relation = shared_set(own, known.sets)
            losses["affinity"] = weights.affinity * loss(relation, sharp.affinity)
        return losses

    def _propagated(self, view: "_View", classes: int) -> Tensor:
        """Label sets of the segments; empty ones where no relation asks for them."""
        segments, settings = view.segments, self.settings.affinity
        asked = self.settings.relations.affinity > 0
        return propagate_labels(
            view.places.detach(),
            segments.label if asked else segments.label.clamp(max=UNLABELLED),
            segments.image,
            classes=classes,
            nearest=settings.nearest,
            threshold=settings.threshold,
        )

    def _image_similarity(self, view: "_View", images: int) -> Tensor:
        """Within each image, or, where `across`, everything but the own segment repels."""
        settings, member = self.settings, view.segments.member
        pixels, prototypes = (
            (view.located, view.places) if settings.located else (view.pixels, view.prototypes)
        )
        sharp = settings.concentrations.similarity
        if settings.across:
            known, first = gather_vectors(prototypes)
            relation = everything_else(len(pixels), len(known), device=pixels.device)
            return relation_loss(
                pixels, known, member + first, relation, concentration=sharp, plain=True
            )
        return image_similarity_loss(
            pixels,
            prototypes,
            view.segments,
            concentration=sharp,
            images=images,
            plain=settings.plain,
        )


@dataclass(frozen=True, slots=True)
class _View:
    """A batch as the relations see it."""

    segments: Segments
    pixels: Float[Tensor, "pixels dim"]
    prototypes: Float[Tensor, "segments dim"]
    located: Float[Tensor, "pixels dim_and_2"]
    places: Float[Tensor, "segments dim_and_2"]  # prototypes of the located pixels
