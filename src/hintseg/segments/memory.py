"""Prototypes of past batches: they attract and repel like those of the present one."""

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hintseg.structures import Prototypes

FIELDS = ("vectors", "label", "image", "sets", "tags", "absent")


class MemoryBank:
    """The prototypes of the last `length` steps, without gradient (Ke et al. 2021, section 3.4)."""

    def __init__(self, length: int) -> None:
        self._steps: deque[Prototypes] = deque(maxlen=length)

    def __len__(self) -> int:
        return len(self._steps)

    def append(self, prototypes: Prototypes) -> None:
        """Remember the prototypes of a step; the oldest step is forgotten."""
        values = (getattr(prototypes, name).detach().clone() for name in FIELDS)
        self._steps.append(Prototypes(*values))

    def behind(self, current: Prototypes) -> Prototypes:
        """The current prototypes and then the remembered ones, newest first.

        Indices into the current ones stay valid; images get numbers that never collide.
        """
        return join([current, *reversed(self._steps)])

    def state(self) -> dict[str, Tensor]:
        """Everything remembered, by name, for a checkpoint."""
        return {
            f"{age}.{name}": getattr(step, name)
            for age, step in enumerate(self._steps)
            for name in FIELDS
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Remember what `state` gave."""
        self._steps.clear()
        for age in range(len(state) // len(FIELDS)):
            self._steps.append(Prototypes(*(state[f"{age}.{name}"] for name in FIELDS)))


def join(parts: Sequence[Prototypes]) -> Prototypes:
    """Prototypes of several batches as one, their images numbered one after the other."""
    images, first = [], 0
    for part in parts:
        images.append(part.image + first)
        first += len(part.tags)
    return Prototypes(
        vectors=torch.cat([part.vectors for part in parts]),
        label=torch.cat([part.label for part in parts]),
        image=torch.cat(images),
        sets=torch.cat([part.sets for part in parts]),
        tags=torch.cat([part.tags for part in parts]),
        absent=torch.cat([part.absent for part in parts]),
    )
