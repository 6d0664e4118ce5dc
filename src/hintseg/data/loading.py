"""Batches in an order that is a pure function of the seed and the step.

Nothing has to be saved to continue: step 250 gives the same batch in a fresh process, whatever the
number of threads. Threads, not processes: decoding and resizing release the interpreter lock, and
the samples in memory are shared.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hintseg.data.samples import Loader
from hintseg.structures import Batch, ImageMap, Sample

View = Callable[[Sample, np.random.Generator], Sample]
BATCHES_AHEAD = 3  # at least; every thread has one to make


@dataclass(frozen=True, slots=True)
class Order:
    """Which image comes at which step: a new permutation of the names in every epoch.

    A step has `batch` samples; of these rank `rank` of `ranks` gets every ranks-th.
    """

    names: tuple[str, ...]
    batch: int
    seed: int
    rank: int = 0
    ranks: int = 1

    def positions(self, step: int) -> range:
        """Running numbers of this rank's samples of a step."""
        return range(step * self.batch + self.rank, (step + 1) * self.batch, self.ranks)

    def name(self, position: int) -> str:
        """The image at a running number."""
        epoch, index = divmod(position, len(self.names))
        return self.names[int(_permutation(len(self.names), self.seed, epoch)[index])]

    def generator(self, position: int) -> np.random.Generator:
        """The source of randomness of one sample."""
        return np.random.default_rng((self.seed, 1, position))


def iterate(
    order: Order, load: Loader, view: View, *, start: int, stop: int, threads: int = 1
) -> Iterator[Batch]:
    """The batches of steps start ... stop - 1, made by threads a few steps ahead."""

    def make(step: int) -> Batch:
        return collate(
            [view(load(order.name(p)), order.generator(p)) for p in order.positions(step)]
        )

    # Torch works with each thread alone: teams of theirs would take the cores from the training.
    with ThreadPoolExecutor(threads, "batches", torch.set_num_threads, (1,)) as pool:
        waiting: deque[Future[Batch]] = deque()
        ahead = max(BATCHES_AHEAD, threads)
        try:
            for step in range(start, stop):
                waiting.append(pool.submit(make, step))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size -> tensors."""
    images = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
    labels = np.stack([sample.weak.labels for sample in samples]).astype(np.int64)
    return Batch(
        names=tuple(sample.name for sample in samples),
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        tags=torch.from_numpy(np.stack([sample.weak.tags for sample in samples])),
        absent=torch.from_numpy(np.stack([sample.weak.absent for sample in samples])),
        maps={
            name: _stacked([sample.maps[name] for sample in samples]) for name in samples[0].maps
        },
    )


def _stacked(maps: Sequence[ImageMap]) -> Tensor:
    """One tensor of the maps of a name: numbers of things as int64, amounts as float32."""
    kind = np.int64 if maps[0].resized == "nearest" else np.float32
    return torch.from_numpy(np.stack([one.values for one in maps]).astype(kind))


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)
