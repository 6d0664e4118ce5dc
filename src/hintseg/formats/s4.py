"""Scribbles4All (https://arxiv.org/abs/2408.12489): PNGs of class numbers, 255 unlabelled.

The classes of s4Pascal are VOC's; those of the other sets have to be listed by --classes, or are
called by their numbers.
"""

import re

from hintseg.formats.found import Request, Source
from hintseg.formats.layers import Numbering, read_layers
from hintseg.formats.maps import VOC, VOID_VALUE

VOC_NAME = re.compile(r"\d{4}_\d{6}")


def read(request: Request) -> Source:
    """The scribbles of a file or folder; DataError where there is none."""
    source = request.source
    stems = [path.stem for path in source.rglob("*.png")] if source.is_dir() else [source.stem]
    is_voc = bool(stems) and all(VOC_NAME.fullmatch(stem) for stem in stems)
    classes = VOC if is_voc else ()
    return read_layers(request, Numbering(first=0, unlabelled=VOID_VALUE, classes=classes))
