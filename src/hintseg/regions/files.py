"""Regions and edge maps as files: those of the user's, and those that a run keeps of its images."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError, RunError, WriteError
from hintseg.files import replacing
from hintseg.images.photographs import opened
from hintseg.regions.partition import EdgeMap, RegionMap, image_regions, numbered
from hintseg.resize import fit_size, resize_image
from hintseg.structures import Image

MOST_STORED = 2**16  # regions of one image in a 16-bit file
FORMAT = 1  # of stored regions; raised whenever the same settings give other regions
Settings = dict[str, int | None]
"""What stored regions were made with; it stands in each file."""


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


class Worker:
    """A process of its own that stores regions: a fresh interpreter, so a script needs no guard."""

    def __enter__(self) -> "Worker":
        code = "from hintseg.regions.files import serve; serve()"
        search = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
        )
        return self

    def store(self, path: Path, image: Image, settings: Settings) -> None:
        """Have the regions of an image made and written."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"path": str(path), "shape": image.shape, "settings": settings}
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n" + image.tobytes())
            self._process.stdin.flush()
            done = self._process.stdout.readline()
        except OSError:
            done = b""
        if not done:
            raise RunError(f"{path}: the process that makes regions ended early; try again")
        if done.strip():
            raise WriteError(done.decode().strip())

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._process.communicate()


def serve() -> None:
    """Store the regions of the images on standard input, until it ends; a line for each.

    The line is empty, or says why the file cannot be written.
    """
    while line := sys.stdin.buffer.readline():
        job = json.loads(line)
        pixels = sys.stdin.buffer.read(int(np.prod(job["shape"])))
        image = np.frombuffer(pixels, np.uint8).reshape(job["shape"])
        try:
            store_regions(Path(job["path"]), image, job["settings"])
            reply = ""
        except WriteError as error:
            reply = " ".join(str(error).split())
        sys.stdout.buffer.write(reply.encode("utf-8", "replace") + b"\n")
        sys.stdout.flush()


def load_regions(folder: Path, name: str) -> RegionMap:
    """The regions of an image that `store_regions` wrote, at the size they were made.

    Raises:
        RunError: Missing or damaged.
    """
    path = folder / f"{name}.png"
    try:
        with opened(path) as image:
            numbers = np.asarray(image).astype(np.int32)
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise RunError(f"{path}: cannot be read ({reason}); make the regions again") from error
    if numbers.ndim != 2:
        raise RunError(f"{path}: holds colours, not regions; make the regions again")
    return numbers


def _grey(
    path: Path, size: tuple[int, int], modes: tuple[str, ...]
) -> tuple[Int[np.ndarray, "h w"], int]:
    """The values of a PNG without colours, and the largest that its format can hold."""
    with opened(path) as image:
        mode, values = image.mode, np.asarray(image)
    if mode not in modes:
        raise DataError(f"{path}: holds {mode}; save one number per pixel, as a greyscale PNG")
    if values.shape != size:
        raise DataError(
            f"{path}: {values.shape[1]} x {values.shape[0]} pixels, its image is "
            f"{size[1]} x {size[0]}; make it from the image as it is on disk"
        )
    top = 65535 if mode.startswith("I") else 1 if mode == "1" else 255
    return values.astype(np.int64), top


def settings_in(path: Path) -> object:
    """The settings that stored regions were made with; None for no such file or a damaged one."""
    with suppress(DataError), opened(path) as image:
        settings: object = parse_json(image.info["hintseg"])
        image.load()
        return settings
    return None


def store_regions(path: Path, image: Image, settings: Settings) -> None:
    """Make the regions of one image and write them, settings included, as a 16-bit PNG."""
    size = fit_size(image.shape[0], image.shape[1], settings["longer_side"])
    found = image_regions(resize_image(image, *size), count=settings["count"])
    note = PngInfo()
    note.add_text("hintseg", json.dumps(settings))
    with replacing(path) as temporary:
        PillowImage.fromarray(found.astype(np.uint16)).save(temporary, format="PNG", pnginfo=note)
