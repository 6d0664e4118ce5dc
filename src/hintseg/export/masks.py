"""Label maps as image files in the codings that people ask for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from hintseg.errors import ConfigError
from hintseg.export.labelled import Add, ExportOptions, Labelled, Legend
from hintseg.files import write_text
from hintseg.images.label_maps import colour_labels, write_label_map
from hintseg.images.photographs import write_png

INDEXED, COLOURS, BINARY = "indexed", "colors", "binary"
MOST_COLOURS = 511  # the palette has the colour of "no class" there
FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')  # in names of folders, on some system


@contextmanager
def write_masks(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """Class indices with a palette, colours, or for each class a folder of 0 and 255.

    `classes.txt` has the names in the order of their indices, `labelmap.txt` their colours as CVAT
    reads them with segmentation masks.

    Raises:
        ConfigError: More classes than there are colours.
    """
    if options.drawn == COLOURS and len(legend.classes) > MOST_COLOURS:
        raise ConfigError(
            f"--as {COLOURS}: at most {MOST_COLOURS} classes have a colour of their own, got "
            f"{len(legend.classes)}; use --as {INDEXED}"
        )
    folders = _folders(legend)

    def add(image: Labelled) -> None:
        file = f"{image.name}.png"
        if options.drawn == BINARY:
            for index, folder in folders.items():
                inside = np.where(image.labels == index, 255, 0).astype(np.uint8)
                write_png(out / folder / file, PillowImage.fromarray(inside))
        elif options.drawn == COLOURS:
            write_png(out / file, PillowImage.fromarray(colour_labels(image.labels)))
        else:
            write_label_map(out / file, image.labels, classes=len(legend.classes))

    yield add
    write_text(out / "classes.txt", "".join(f"{name}\n" for _, name, _ in legend))
    lines = [f"{name}:{','.join(map(str, colour))}::\n" for _, name, colour in legend]
    write_text(out / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))


def _folders(legend: Legend) -> dict[int, str]:
    """A folder for each class, called like it as far as folders can be."""
    folders: dict[int, str] = {}
    taken: set[str] = set()
    for index, name, _ in legend:
        folder = FORBIDDEN.sub("_", name).strip(" .") or f"class {index}"
        if folder.casefold() in taken:
            folder = f"{folder} {index}"
        taken.add(folder.casefold())
        folders[index] = folder
    return folders
