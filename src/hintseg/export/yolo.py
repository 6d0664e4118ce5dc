"""YOLO folders for segmentation (https://docs.ultralytics.com/datasets/segment/).

`images/` and `labels/` side by side, as the reader finds the one by the other; `data.yaml`.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from hintseg.export.labelled import Add, ExportOptions, Labelled, Legend
from hintseg.export.pieces import Piece
from hintseg.export.slits import one_ring
from hintseg.files import replacing, write_text, writing


@contextmanager
def write_yolo(out: Path, legend: Legend, options: ExportOptions) -> Iterator[Add]:
    """A line for each object: number of the class, then x and y of each corner as shares.

    The format knows one ring for each object: holes and further parts are joined by slits.
    """

    def add(image: Labelled) -> None:
        lines = [_line(legend.number(p.label), p, image.size) + "\n" for p in image.pieces]
        if image.photograph is not None:
            _bring(image.photograph, out / "images" / image.place, link=options.link)
        write_text(out / "labels" / Path(image.place).with_suffix(".txt"), "".join(lines))

    yield add
    names = {number: name for number, name, _ in legend}
    content = {"train": "images", "val": "images", "names": names}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_text(out / "data.yaml", "# train and val are the same images: split them\n" + text)


def _line(number: int, piece: Piece, size: tuple[int, int]) -> str:
    shares = one_ring(piece.polygons) / (size[1], size[0])
    return " ".join([str(number), *(f"{share:.7g}" for share in shares.ravel().tolist())])


def _bring(file: Path, target: Path, *, link: bool) -> None:
    if link:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file.resolve())
        return
    with replacing(target) as temporary:
        shutil.copyfile(file, temporary)
