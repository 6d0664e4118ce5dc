"""Folders and files of images -> folder of label maps."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image as PillowImage

from hintseg.errors import ConfigError, DataError
from hintseg.files import read_json, write_json
from hintseg.images import read_image, write_png
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


def predict_files(  # noqa: PLR0913 - the options of the command
    predictor: Predictor,
    images: Mapping[str, Path],
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

    `images` are files by name; a name with slashes goes to sub-folders. Files that an earlier call
    with the same model and options has finished are skipped. A broken image is reported in the
    outcome and does not stop the rest.

    Raises:
        ConfigError: An option cannot work, or `out` holds the images themselves, other files, or
            predictions of another model or other options.
        RunError: By retrieval, and the run has no prototypes.
    """
    predictor.check(by)  # what cannot work is refused before anything is written
    make_views(scales, flip=flip)
    check_tile(tile)
    refuse_folder_of(images.values(), out, images)
    options = {"scales": [float(scale) for scale in scales], "flip": flip, "tile": tile, "by": by}
    refined = {} if crf is None else {"crf": asdict(find_preset(crf))}
    claim(out, {"model": digest_of(predictor, by), **options, **refined})
    predict = partial(predictor.predict, scales=scales, flip=flip, tile=tile, by=by, crf=crf)
    outcome, classes = Outcome(), len(predictor.classes)
    with progress("predict", len(images)) as advance:
        for name, file in images.items():
            label, picture = partial(_labelled, predict, file), overlay_file(out, name, overlays)
            label_file(
                label, file, out / f"{name}.png", classes=classes, picture=picture, outcome=outcome
            )
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
    picture: Path | None,
    outcome: Outcome,
) -> None:
    """Write the labels of one image, unless that is done; they come last, as the sign of it.

    Args:
        label: Gives image and labels; a DataError of its is noted in the outcome.
        file: The image file that the outcome names.
        target: The label map to write.
        classes: How many there are.
        picture: The overlay to write; None: none is wanted.
        outcome: Takes note of what became of the image.
    """
    if target.exists() and (picture is None or picture.exists()):
        outcome.skipped.append(file)
        return
    try:
        image, labels = label()
    except DataError as error:
        outcome.failed[file] = str(error)
        return
    if picture is not None:
        write_png(picture, PillowImage.fromarray(overlay(image, labels)))
    write_label_map(target, labels, classes=classes)
    outcome.written.append(target)


def overlay_file(out: Path, name: str, overlays: bool) -> Path | None:
    """Where the overlay of an image goes; None where none is wanted."""
    return out / OVERLAYS / f"{name}.png" if overlays else None


def refuse_folder_of(files: Iterable[Path], out: Path, names: Iterable[str]) -> None:
    """Label maps beside photographs of the same names would replace them or be taken for them.

    Raises:
        ConfigError: `out`, a sub-folder to write to or its folder of overlays holds one of the
            files, or the overlay of an image would have the place of a label map.
    """
    folders = {folder.resolve() for folder in {file.parent for file in files}}
    inner = {Path(name).parent for name in names}
    targets = {(out / OVERLAYS).resolve(), out.resolve()}
    if folders & targets.union((out / folder).resolve() for folder in inner):
        raise ConfigError(f"{out}: holds the images themselves; choose another --out")
    if any(folder.parts[:1] == (OVERLAYS,) for folder in inner):
        raise ConfigError(
            f"{out}: images lie in a sub-folder called {OVERLAYS}, the name of the folder of "
            "pictures; rename it"
        )


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
