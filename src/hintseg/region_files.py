"""Regions and edge maps as files: those of the user's, and those that a run keeps of its images."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Int
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from hintseg.errors import ConfigError, DataError, RunError
from hintseg.progress import progress
from hintseg.regions import COUNT, EdgeMap, RegionMap, numbered, regions
from hintseg.resize import fit_size, resize_image
from hintseg.structures import Image

MOST_STORED = 2**16  # regions of one image in a 16-bit file
FORMAT = 1  # of stored regions; raised whenever the same settings give other regions
NOT_AN_IMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError)  # from Pillow


def read_edges(path: Path, size: tuple[int, int]) -> EdgeMap:
    """An edge map of the user's in [0, 1]: a grey PNG, 8 or 16 bit, 0 = no edge.

    Raises:
        DataError: Missing, broken, in colour, or not of `size` (height, width).
    """
    values, top = _grey(path, size, ("1", "L", "I", "I;16", "I;16B"))
    return values.astype(np.float32) / np.float32(top)


def read_regions(path: Path, size: tuple[int, int]) -> RegionMap:
    """Regions of the user's, renumbered top-left to bottom-right; one value is one region.

    A grey PNG of 8 or 16 bit or an indexed one.

    Raises:
        DataError: Missing, broken, in colour, or not of `size` (height, width).
    """
    values, _ = _grey(path, size, ("1", "L", "P", "I", "I;16", "I;16B"))
    return numbered(values.ravel()).reshape(size)


def make_regions(
    names: Sequence[str],
    read_image: Callable[[str], Image],
    folder: Path,
    *,
    count: int = COUNT,
    longer_side: int | None = None,
    workers: int = 1,
) -> None:
    """Write the regions of images to FOLDER/NAME.png, unless there with the same settings.

    The settings stand in each file, so that one of other settings or a damaged one is made again;
    files are replaced whole, and several processes may fill one folder.

    Args:
        names: Of the images.
        read_image: Gives the image of a name; called in this process, one at a time.
        folder: Made if missing.
        count: At most that many regions an image.
        longer_side: Images are brought to it first (pixels; None: as they are).
        workers: Processes besides this one if more than one (a thread gains nothing here: higra
            keeps the interpreter's lock); a script that asks for them needs the usual
            `if __name__ == "__main__":`.

    Raises:
        ConfigError: A count outside 1 .. 65536.
    """
    if not 1 <= count <= MOST_STORED:
        raise ConfigError(f"regions: count must be 1 to {MOST_STORED} to be stored, got {count}")
    settings = {"format": FORMAT, "count": count, "longer_side": longer_side}
    missing = [name for name in names if _settings_in(folder / f"{name}.png") != settings]
    folder.mkdir(parents=True, exist_ok=True)
    with progress("regions", len(names), done=len(names) - len(missing)) as advance:
        if workers < 2 or len(missing) < 2:
            for name in missing:
                _store(folder / f"{name}.png", read_image(name), settings)
                advance(name)
            return
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            for first in range(0, len(missing), 8 * workers):  # few images wait at any time
                part = missing[first : first + 8 * workers]
                jobs = [
                    pool.submit(_store, folder / f"{name}.png", read_image(name), settings)
                    for name in part
                ]
                for name, job in zip(part, jobs, strict=True):
                    job.result()
                    advance(name)


def load_regions(folder: Path, name: str) -> RegionMap:
    """The regions of an image that `make_regions` wrote, at the size they were made.

    Raises:
        RunError: Missing or damaged.
    """
    path = folder / f"{name}.png"
    try:
        with path.open("rb") as file, PillowImage.open(file) as image:
            return np.asarray(image).astype(np.int32)
    except NOT_AN_IMAGE as error:
        raise RunError(f"{path}: cannot be read ({error}); make the regions again") from error


def _grey(
    path: Path, size: tuple[int, int], modes: tuple[str, ...]
) -> tuple[Int[np.ndarray, "h w"], int]:
    """The values of a PNG without colours, and the largest that its format can hold."""
    try:
        with path.open("rb") as file, PillowImage.open(file) as image:
            mode, values = image.mode, np.asarray(image)
    except NOT_AN_IMAGE as error:
        raise DataError(f"{path}: cannot be read as an image ({error}); replace it") from error
    if mode not in modes:
        raise DataError(f"{path}: holds {mode}; save one number per pixel, as a greyscale PNG")
    if values.shape != size:
        raise DataError(
            f"{path}: {values.shape[1]} x {values.shape[0]} pixels, its image is "
            f"{size[1]} x {size[0]}; make it from the image as it is on disk"
        )
    top = 65535 if mode.startswith("I") else 1 if mode == "1" else 255
    return values.astype(np.int64), top


def _settings_in(path: Path) -> object:
    """The settings that stored regions were made with; None for no such file or a damaged one."""
    try:
        with path.open("rb") as file, PillowImage.open(file) as image:
            settings: object = json.loads(image.info["hintseg"])
            image.load()
            return settings
    except (KeyError, *NOT_AN_IMAGE):
        return None


def _store(path: Path, image: Image, settings: dict[str, int | None]) -> None:
    """Make the regions of one image and write them, settings included, as a 16-bit PNG."""
    size = fit_size(image.shape[0], image.shape[1], settings["longer_side"])
    found = regions(resize_image(image, *size), count=settings["count"])
    note = PngInfo()
    note.add_text("hintseg", json.dumps(settings))
    with TemporaryDirectory(prefix=".", dir=path.parent) as own:  # no two processes share a name
        written = Path(own) / path.name
        PillowImage.fromarray(found.astype(np.uint16)).save(written, pnginfo=note)
        written.replace(path)
