"""What regions of each class looked like in past batches (RCA)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor


class ClassMemory:
    """A ring of embeddings for each class (Zhou et al. 2022, arXiv:2203.09653, section 3.2).

    The first write of a slot replaces what is in it, later ones blend by `momentum`: with the
    released code, which blends from the start, three quarters of what is compared are random
    numbers.

    Args:
        classes: Number of rings.
        slots: Length of a ring.
        dim: Of an embedding.
        momentum: Share of the old embedding that stays.
    """

    def __init__(self, classes: int, slots: int, dim: int, *, momentum: float) -> None:
        self.vectors = torch.zeros(classes, slots, dim)
        self.written = torch.zeros(classes, dtype=torch.int64)  # embeddings ever written
        self.momentum = momentum

    def write(self, vectors: Float[Tensor, "regions dim"], labels: Int[Tensor, " regions"]) -> None:
        """Write the embeddings of some regions, one after the other."""
        self.vectors = self.vectors.to(vectors.device)
        for vector, label in zip(vectors.detach(), labels.tolist(), strict=True):
            count, slots = int(self.written[label]), self.vectors.shape[1]
            place = count % slots
            kept = self.momentum if count >= slots else 0.0
            self.vectors[label, place] = kept * self.vectors[label, place] + (1 - kept) * vector
            self.written[label] += 1

    def filled(self) -> tuple[Float[Tensor, "known dim"], Int[Tensor, " known"]]:
        """All embeddings that were written, and the class of each."""
        slots = self.vectors.shape[1]
        there = torch.arange(slots) < self.written[:, None]
        labels = torch.arange(len(self.written))[:, None].expand(-1, slots)[there]
        return self.vectors[there.to(self.vectors.device)], labels.to(self.vectors.device)

    def state(self) -> dict[str, Tensor]:
        """Everything remembered, by name, for a checkpoint."""
        return {"vectors": self.vectors, "written": self.written}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Remember what `state` gave."""
        if state:
            self.vectors, self.written = state["vectors"], state["written"].cpu()
