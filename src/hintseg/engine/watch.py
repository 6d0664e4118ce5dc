"""The first step whose loss is NaN or infinite: which one, which term, which images."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hintseg.errors import NotFiniteError

REMEDY = "lower the learning rate (--set train.lr=...) and begin anew with another --out"
MOST_NAMES = 8  # of images in a message

Seen = tuple[int, tuple[str, ...], tuple[str, ...], Tensor]  # step, images, terms, their values


class LossWatch:
    """Looks at the losses of every step before anything is learned from them.

    To look at a number on a GPU means to wait for it, and processes that train together have to
    stop together: there the losses are kept, and looked at when all wait anyway.

    Args:
        at_once: Look at each step's losses at once.
    """

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self._kept: list[Seen] = []

    def __call__(self, step: int, names: Sequence[str], losses: Mapping[str, Tensor]) -> None:
        """Be shown the losses of a step and the images of its batch.

        Raises:
            NotFiniteError: One of them is not finite, and it is looked at once.
        """
        values = torch.stack([value.detach().float().reshape(()) for value in losses.values()])
        self._kept.append((step, tuple(names), tuple(losses), values))
        if self.at_once:
            self.look()

    def look(self) -> None:
        """Look at all that was kept since the last time.

        Raises:
            NotFiniteError: One is not finite; the first is named.
        """
        told = self.wrong()
        if told is not None:
            raise NotFiniteError(told)

    def wrong(self) -> str | None:
        """As `look`; what is wrong in words, None: nothing."""
        kept, self._kept = self._kept, []
        if not kept or bool(torch.cat([values for *_, values in kept]).isfinite().all()):
            return None
        step, names, terms, values = next(one for one in kept if not one[3].isfinite().all())
        return _told(step, names, dict(zip(terms, values.tolist(), strict=True)))


def _told(step: int, names: Sequence[str], losses: Mapping[str, float]) -> str:
    wrong = ", ".join(
        f"{term} {value}" for term, value in losses.items() if not math.isfinite(value)
    )
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    images = ", ".join(names[:MOST_NAMES]) + more
    return (
        f"step {step}: the loss is {sum(losses.values())} ({wrong}), of the images {images}; look "
        f"at them, or {REMEDY}"
    )
