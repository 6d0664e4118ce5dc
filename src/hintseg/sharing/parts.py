"""Counts of an evaluation in files, one for each share of the images: made anywhere, added later.

A file FOLDER/I-of-N.json says of what its counts were made: the model and its options, and one
digest of all photographs (or predicted masks) and true masks of its share. Counts of anything else
are never taken: made again by their share, and refused by the sum.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hintseg.counts import Counts, added, counts_from
from hintseg.errors import DataError, RunError
from hintseg.evaluation import Examination
from hintseg.files import read_json, write_json
from hintseg.images.names import NamedFiles
from hintseg.predict.folders.label_folder import digest_of_file
from hintseg.shares import Share

FORMAT = 1
NAME = re.compile(r"([1-9][0-9]*)-of-([1-9][0-9]*)\.json")


def part_file(folder: Path, share: Share) -> Path:
    """Where the counts of a share are."""
    return folder / f"{share.index + 1}-of-{share.count}.json"


def made_of(examination: Examination, names: Sequence[str]) -> dict[str, Any]:
    """What the counts of some images depend on, as plain values.

    Raises:
        DataError: A file of theirs is missing or cannot be read.
    """
    predictor, dataset = examination.predictor, examination.dataset
    model = "masks"
    if predictor is not None:
        from hintseg.predict.folders.digest import digest_of  # noqa: PLC0415 - masks need no network

        model = digest_of(predictor, examination.options)
    reading = dataset.reading if predictor is None else dataset.read_as(predictor.reading).reading
    return {
        "format": FORMAT,
        "model": model,
        "options": examination.options.record(),
        "classes": list(dataset.classes.names),
        "coding": repr(dataset.coding),
        "reading": repr(reading),
        "trimaps": list(examination.trimaps),
        "saliency": examination.saliency,
        "content": _content(examination, names),
    }


def write_part(folder: Path, share: Share, made: dict[str, Any], counts: Counts) -> Path:
    """Write the counts of a share."""
    path = part_file(folder, share)
    write_json(path, {"made_of": made, "counts": counts.record()})
    return path


def read_part(folder: Path, share: Share, made: dict[str, Any]) -> Counts | None:
    """The counts of a share; None where there are none, or those of something else."""
    path = part_file(folder, share)
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        return counts_from(content["counts"]) if content["made_of"] == made else None
    except (RunError, KeyError, TypeError, ValueError, IndexError):
        return None  # half of a file, or another's: made again


def total_of_parts(examination: Examination, folder: Path) -> Counts:
    """The counts of all images, of the files of their shares.

    Raises:
        DataError: There are none, some are missing, or some were made of something else.
    """
    count, parts, wrong = _shares_in(folder), [], []
    for index in range(count):
        share = Share(index, count)
        made = made_of(examination, share.of(examination.names))
        counts = read_part(folder, share, made)
        if counts is None:
            wrong.append(share)
        else:
            parts.append(counts)
    if wrong:
        missing = [share for share in wrong if not part_file(folder, share).exists()]
        shown = missing or wrong
        why = "missing" if missing else "damaged, or of another model, options, images or masks"
        listed = ", ".join(map(str, shown[:8])) + (", ..." if len(shown) > 8 else "")
        raise DataError(
            f"{folder}: the counts of {listed} are {why}; run the same command with "
            f"--shard {shown[0]}{' and so on' if len(shown) > 1 else ''}"
        )
    return added(parts)


def _shares_in(folder: Path) -> int:
    """Into how many shares the images were divided."""
    found = [NAME.fullmatch(path.name) for path in folder.glob("*-of-*.json")]
    counts = sorted({int(match[2]) for match in found if match})
    if not counts:
        raise DataError(
            f"{folder}: no counts here; make them by the same command with --shard 1/N to N/N"
        )
    if len(counts) > 1:
        listed = " and ".join(map(str, counts))
        raise DataError(f"{folder}: counts of {listed} shares; delete those that are not wanted")
    return counts[0]


def _content(examination: Examination, names: Sequence[str]) -> str:
    """One hash of what was looked at, and of the truth."""
    dataset, digest = examination.dataset, hashlib.sha256()
    masks = NamedFiles(examination.source)
    for name in names:
        seen = dataset.images[name]
        if examination.predictor is None:
            seen = masks.path(name, ".png")
        for path in (seen, dataset.mask_path(name)):
            digest.update(f"{name}\n{digest_of_file(path)}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
