"""Folders and files of images -> folder of label maps."""

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image as PillowImage

from hintseg.errors import ConfigError, DataError
from hintseg.files import read_json, write_json
from hintseg.images import IMAGE_SUFFIXES, overlay, read_image, write_label_map, write_png
from hintseg.predict.predictor import Predictor
from hintseg.progress import progress

RECORD = "predict.json"


@dataclass
class Outcome:
    """What became of the images."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # finished by an earlier call
    failed: dict[Path, str] = field(default_factory=dict)  # image -> why


def find_inputs(inputs: Sequence[str]) -> list[Path]:
    """Image files named by folders, files and glob patterns, each once, in order.

    Raises:
        DataError: An input names nothing, or two images would get the same output name.
    """
    found: dict[Path, None] = {}
    for text in inputs:
        for path in _matches(text):
            found[path] = None
    by_stem: dict[str, Path] = {}
    for path in found:
        if path.stem in by_stem:
            raise DataError(
                f"{path}: {by_stem[path.stem]} has the same name, both would become {path.stem}.png; "
                "predict them into different --out folders"
            )
        by_stem[path.stem] = path
    return list(found)


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    out: Path,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    tile: int = 1024,
    overlays: bool = False,
) -> Outcome:
    """Write NAME.png (class indices, palette) for every image, and overlays/NAME.png on request.

    Files that an earlier call with the same model and options has finished are skipped. A broken image
    is reported in the outcome and does not stop the rest.

    Raises:
        ConfigError: `out` holds predictions of another model or other options.
    """
    options = {"scales": list(scales), "flip": flip, "tile": tile}
    _claim(out, {"model": _digest(predictor), **options})
    outcome = Outcome()
    with progress("predict", len(files)) as advance:
        for file in files:
            target = out / f"{file.stem}.png"
            picture = out / "overlays" / f"{file.stem}.png" if overlays else target
            if target.exists() and picture.exists():
                outcome.skipped.append(file)
            else:
                try:
                    image = read_image(file)
                    labels = predictor.predict(image, scales=scales, flip=flip, tile=tile).labels
                    if overlays:
                        write_png(picture, PillowImage.fromarray(overlay(image, labels)))
                    write_label_map(target, labels, classes=len(predictor.classes))
                    outcome.written.append(target)
                except DataError as error:
                    outcome.failed[file] = str(error)
            advance(file.name)
    return outcome


def _matches(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
        if not files:
            raise DataError(f"{path}: no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
        return files
    if path.is_file():
        return [path]
    matched = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
    images = [p for p in matched if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if not images:
        raise DataError(f"{text}: no such file or folder, and no image matches it as a pattern")
    return images


def _claim(out: Path, record: dict) -> None:
    """Say in the folder what its files were made with; refuse to mix."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; --out must be a folder")
    if (out / RECORD).exists():
        if read_json(out / RECORD) != record:
            raise ConfigError(
                f"{out}: holds predictions of another model or other options; choose another --out or "
                "delete it"
            )
        return
    write_json(out / RECORD, record)


def _digest(predictor: Predictor) -> str:
    digest = hashlib.sha256(str(predictor.size).encode())
    for tensor in predictor.model.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
