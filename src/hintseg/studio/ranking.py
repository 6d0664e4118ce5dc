"""Which image a person should look at next: a thread that goes round all of them, quietly."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from threading import Event, Thread

from hintseg.data.dataset import Dataset
from hintseg.errors import HintSegError
from hintseg.predict.doubt import Doubt
from hintseg.studio.seeing import Seeing

REST = 0.02  # seconds between two images, in which others get their turn
IDLE = 1.0  # seconds until a finished round looks for news
BUSY = 1.5  # seconds after a person's last request in which the round waits
LEARNED = 4  # one image is ranked after so many that may be learned
LOOKS = 50  # images at whose hints one step looks for news
FRESH = 20  # images with news of hints after which all are asked again


@dataclass(frozen=True, slots=True)
class Rank:
    """What is known of an image, and how old it is."""

    doubt: Doubt | None  # None: nobody could say anything then
    round: int


class Ranking:
    """Learns the hints of all images for the fast head, then asks how doubtful each image is."""

    def __init__(self, seeing: Seeing) -> None:
        self._seeing = seeing
        self._found: dict[str, Rank] = {}
        self._stop, self._round, self._news = Event(), 0, 0
        self._dataset: Dataset | None = None
        self._asked, self._turn = 0.0, 0
        self._generation = -1
        self._sweep: Iterator[str] = iter(())  # images still to be looked at for news
        self._open: tuple[int, list[str]] = (-1, [])  # a round, and images that it has not asked
        self._thread = Thread(target=self._work, name="ranking", daemon=True)

    def follow(self, dataset: Dataset) -> None:
        """Go on with a data set that was read, or read again."""
        self._dataset, self._open = dataset, (-1, [])

    def start(self) -> None:
        """Begin."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End after the image in work."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def pause(self) -> None:
        """Somebody is waiting for something else."""
        self._asked = time.monotonic()

    def of(self, name: str) -> Doubt | None:
        """How doubtful an image is; None: not known yet."""
        rank = self._found.get(name)
        return None if rank is None else rank.doubt

    @property
    def known(self) -> int:
        """Images whose doubt is that of the current model."""
        ranks = list(self._found.values())
        return sum(rank.round == self._round and rank.doubt is not None for rank in ranks)

    def step(self) -> bool:
        """Learn the hints of one image or ask how doubtful one is; False where all is known."""
        dataset = self._dataset
        if dataset is None:
            return False
        learned = self._turn % LEARNED > 0 and self._learn(dataset)
        self._turn += 1
        return learned or self._ask(dataset) or self._learn(dataset)

    def _work(self) -> None:
        while not self._stop.is_set():
            worked = False
            with suppress(HintSegError, OSError):  # the folder is gone: whoever asks is told
                worked = self.step()
            self._stop.wait(REST if worked else IDLE)

    def _wait(self) -> None:
        while time.monotonic() - self._asked < BUSY and not self._stop.is_set():
            self._stop.wait(0.1)

    def _learn(self, dataset: Dataset) -> bool:
        """Take note of the next image whose hints are new, if it is among the next LOOKS.

        Where the last call stopped this one goes on, and after the last image with the first.
        """
        if self._seeing.generation != self._generation:
            self._generation, self._round, self._news = self._seeing.generation, self._round + 1, 0
        left = LOOKS
        for name in islice(self._sweep, LOOKS):
            if self._is_news(dataset, name):
                self._news += 1
                if all(rank.doubt is None for rank in list(self._found.values())):
                    self._round += 1  # the first hint of all: now there is something to say
                self._wait()
                return True
            left -= 1
        if left:
            self._sweep = iter(tuple(dataset.images))
        return False

    def _is_news(self, dataset: Dataset, name: str) -> bool:
        try:
            known = not self._stop.is_set() and name in dataset.images
            return known and dataset.has_hints(name) and self._seeing.learn(dataset, name)
        except (HintSegError, OSError):  # whoever opens the image is told
            return False

    def _ask(self, dataset: Dataset) -> bool:
        """Ask for the doubt of one image of which it is not known."""
        if self._news >= FRESH:
            self._round, self._news = self._round + 1, 0
        current, names = self._open
        if current != self._round:
            names = self._unasked(dataset)
            self._open = (self._round, names)
        if not names:
            return False
        self._wait()
        return self._asked_of(dataset, names.pop())

    def _unasked(self, dataset: Dataset) -> list[str]:
        """Images that this round has not asked of, those without hints last: they come first."""
        fresh = {name for name, rank in self._found.items() if rank.round == self._round}
        names = [name for name in dataset.images if name not in fresh]
        return sorted(reversed(names), key=lambda name: not dataset.has_hints(name))

    def _asked_of(self, dataset: Dataset, name: str) -> bool:
        if name not in dataset.images:  # it was removed meanwhile
            return True
        try:
            doubt = self._seeing.doubt(dataset, name)
        except (HintSegError, OSError):
            doubt = Doubt(0.0, 0.5, 0.5)
        self._found[name] = Rank(doubt, self._round)
        return True
