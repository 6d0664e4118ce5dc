"""Values of the training: they hold tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ScoreMaps:
    """Where some classes are in one image: what a localiser has seen."""

    maps: Float[Tensor, "maps height width"]  # 0 to 1
    labels: Int[Tensor, " maps"]  # class of each map


@dataclass(frozen=True, slots=True)
class Batch:
    """What a method sees of one step."""

    names: tuple[str, ...]
    images: UInt8[Tensor, "batch 3 height width"]  # raw colours; the model normalises
    labels: Int[Tensor, "batch height width"]  # class index, UNLABELLED or VOID
    tags: Bool[Tensor, "batch classes"]
    absent: Bool[Tensor, "batch classes"]
    maps: Mapping[str, Shaped[Tensor, "batch height width"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def fields(self) -> tuple[tuple[str, ...], Tensor, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """The values in the order of the constructor."""
        return self.names, self.images, self.labels, self.tags, self.absent, dict(self.maps)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        names, images, labels, tags, absent, maps = self.fields()
        there = {name: moved(values) for name, values in maps.items()}
        return Batch(names, moved(images), moved(labels), moved(tags), moved(absent), there)


@dataclass(frozen=True, slots=True)
class Segments:
    """A batch cut into segments: what `segments` makes and `losses` reads.

    Pixels are the cells of the embedding that are not VOID, in row-major order over the batch.
    """

    kept: Int[Tensor, " pixels"]  # place of each pixel among all cells of the batch
    member: Int[Tensor, " pixels"]  # segment of each pixel
    image: Int[Tensor, " segments"]  # index in the batch
    label: Int[Tensor, " segments"]  # class index, or UNLABELLED
    region: Int[Tensor, " segments"]  # number within its image

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True)
class Prototypes:
    """The directions of segments, with what the relations ask of them."""

    vectors: Float[Tensor, "segments dim"]  # unit length
    label: Int[Tensor, " segments"]  # class index, or UNLABELLED
    image: Int[Tensor, " segments"]  # row of `tags` and `absent`
    sets: Bool[Tensor, "segments classes"]  # propagated labels; none: unresolved
    tags: Bool[Tensor, "images classes"]
    absent: Bool[Tensor, "images classes"]

    def __len__(self) -> int:
        return len(self.label)
