"""Folders and files of images -> folder of label maps."""

import glob
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image as PillowImage

from hintseg.errors import ConfigError, DataError
from hintseg.files import read_json, write_json
from hintseg.images import IMAGE_SUFFIXES, is_image_name, read_image, write_png
from hintseg.label_maps import overlay, write_label_map
from hintseg.predict.predictor import Predictor
from hintseg.predict.tiles import check_tile
from hintseg.predict.views import make_views
from hintseg.progress import progress
from hintseg.refine.dense_crf import find_preset
from hintseg.structures import Image, LabelMap, Prediction

RECORD = "predict.json"
OVERLAYS = "overlays"


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
    found: dict[Path, Path] = {}  # by its full path: one file can be named in several ways
    for text in inputs:
        for path in _matches(text):
            found.setdefault(path.resolve(), path)
    _refuse_same_names(found.values())
    return list(found.values())


def predict_files(  # noqa: PLR0913 - the options of the command
    predictor: Predictor,
    files: Sequence[Path],
    out: Path,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    tile: int = 1024,
    by: str = "classifier",
    crf: str | None = None,
    overlays: bool = False,
) -> Outcome:
    """Write NAME.png (class indices, palette) for every image, and overlays/NAME.png on request.

    Files that an earlier call with the same model and options has finished are skipped. A broken
    image is reported in the outcome and does not stop the rest.

    Raises:
        ConfigError: An option cannot work, or `out` holds the images themselves, other files, or
            predictions of another model or other options.
        DataError: Two images would get the same output name.
        RunError: By retrieval, and the run has no prototypes.
    """
    predictor.check(by)  # what cannot work is refused before anything is written
    make_views(scales, flip=flip)
    check_tile(tile)
    _refuse_same_names(files)
    refuse_folder_of(files, out)
    options = {"scales": [float(scale) for scale in scales], "flip": flip, "tile": tile, "by": by}
    refined = {} if crf is None else {"crf": asdict(find_preset(crf))}
    claim(out, {"model": digest_of(predictor, by), **options, **refined})
    predict = partial(predictor.predict, scales=scales, flip=flip, tile=tile, by=by, crf=crf)
    outcome, classes = Outcome(), len(predictor.classes)
    with progress("predict", len(files)) as advance:
        for file in files:
            label, target = partial(_labelled, predict, file), out / f"{file.stem}.png"
            label_file(label, file, target, classes=classes, overlays=overlays, outcome=outcome)
            advance(file.name)
    return outcome


def _labelled(predict: Callable[[Image], Prediction], file: Path) -> tuple[Image, LabelMap]:
    image = read_image(file)
    return image, predict(image).labels


def label_file(
    label: Callable[[], tuple[Image, LabelMap]],
    file: Path,
    target: Path,
    *,
    classes: int,
    overlays: bool,
    outcome: Outcome,
) -> None:
    """Write the labels of one image, unless that is done; they come last, as the sign of it.

    Args:
        label: Gives image and labels; a DataError of its is noted in the outcome.
        file: The image file that the outcome names.
        target: The label map to write; its overlay goes to the folder `overlays` beside it.
        classes: How many there are.
        overlays: Whether to write that.
        outcome: Takes note of what became of the image.
    """
    picture = target.parent / OVERLAYS / target.name
    if target.exists() and (picture.exists() or not overlays):
        outcome.skipped.append(file)
        return
    try:
        image, labels = label()
    except DataError as error:
        outcome.failed[file] = str(error)
        return
    if overlays:
        write_png(picture, PillowImage.fromarray(overlay(image, labels)))
    write_label_map(target, labels, classes=classes)
    outcome.written.append(target)


def _matches(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if _is_image_file(p)]
        if not files:
            raise DataError(f"{path}: no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
        return files
    if path.is_file():
        return [path]
    matched = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
    images = [p for p in matched if _is_image_file(p)]
    if not images:
        raise DataError(f"{text}: no such file or folder, and no image matches it as a pattern")
    return images


def _is_image_file(path: Path) -> bool:
    return is_image_name(path) and path.is_file()


def _refuse_same_names(files: Iterable[Path]) -> None:
    by_stem: dict[str, Path] = {}
    for path in files:
        if path.stem in by_stem:
            raise DataError(
                f"{path}: {by_stem[path.stem]} has the same name, both would become "
                f"{path.stem}.png; predict them into different --out folders"
            )
        by_stem[path.stem] = path


def refuse_folder_of(files: Iterable[Path], out: Path) -> None:
    """Label maps beside photographs of the same names would replace them or be taken for them.

    Raises:
        ConfigError: `out` or its folder of overlays holds one of the images.
    """
    folders = {folder.resolve() for folder in {file.parent for file in files}}
    if folders & {out.resolve(), (out / OVERLAYS).resolve()}:
        raise ConfigError(f"{out}: holds the images themselves; choose another --out")


def claim(out: Path, record: dict, *, file: str = RECORD, of: str = "model") -> None:
    """Say in the folder what its files were made with; refuse to mix.

    Raises:
        ConfigError: `out` is a file, or holds label maps that were made otherwise.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; --out must be a folder")
    if (out / file).exists():
        if read_json(out / file) != record:
            raise ConfigError(
                f"{out}: holds predictions of another {of} or other options; choose another "
                "--out or delete it"
            )
        return
    if any(out.glob("*.png")):
        raise ConfigError(
            f"{out}: holds PNG files that are not known as predictions ({file} is missing); "
            "choose another --out"
        )
    write_json(out / file, record)


def digest_of(predictor: Predictor, by: str) -> str:
    """Hash of all of a model that decides its predictions."""
    digest = hashlib.sha256(f"{predictor.size} {predictor.zoom}".encode())
    for tensor in predictor.model.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    if by == "retrieval":
        known = predictor.prototypes
        digest.update(f"{known.grid} {known.iterations}".encode())
        digest.update(known.vectors.tobytes() + known.label.tobytes())
    return digest.hexdigest()
