"""Regions of an image, made when it is first asked for and kept in a folder.

A training over 100 000 images begins at once, and one of few steps makes regions of few images.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from hintseg.errors import ConfigError
from hintseg.files import writing
from hintseg.regions.files import (
    FORMAT,
    MOST_STORED,
    Settings,
    Worker,
    load_regions,
    settings_in,
    store_regions,
)
from hintseg.regions.partition import COUNT, RegionMap
from hintseg.structures import Image


@contextmanager
def regions_on_demand(
    read_image: Callable[[str], Image],
    folder: Path,
    *,
    count: int = COUNT,
    longer_side: int | None = None,
    workers: int = 1,
) -> Iterator[Callable[[str], RegionMap]]:
    """Gives the regions of an image by its name; any thread may ask, while the block runs.

    The settings stand in each file, so that one of other settings or a damaged one is made again;
    files are replaced whole, and several processes may fill one folder.

    Args:
        read_image: Gives the image of a name.
        folder: Made if missing.
        count: At most that many regions an image.
        longer_side: Images are brought to it first (pixels; None: as they are).
        workers: Threads that ask at once; if more than one, each has a process to wait for (higra
            keeps the interpreter's lock).

    Raises:
        ConfigError: A count outside 1 .. 65536.
    """
    if not 1 <= count <= MOST_STORED:
        raise ConfigError(f"regions: count must be 1 to {MOST_STORED} to be stored, got {count}")
    settings: Settings = {"format": FORMAT, "count": count, "longer_side": longer_side}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sound: set[str] = set()  # whose files are known to be good
    with ExitStack() as processes:
        idle: SimpleQueue[Worker] = SimpleQueue()

        def made(name: str, path: Path) -> None:
            if workers < 2:
                store_regions(path, read_image(name), settings)
                return
            try:
                worker = idle.get_nowait()
            except Empty:  # as many as there are threads that ask at once
                worker = processes.enter_context(Worker())
            worker.store(path, read_image(name), settings)
            idle.put(worker)

        def regions(name: str) -> RegionMap:
            path = folder / f"{name}.png"
            if name not in sound:
                if settings_in(path) != settings:
                    made(name, path)
                sound.add(name)
            return load_regions(folder, name)

        yield regions
