"""A model in an ONNX file, ready for images: what `hintseg export onnx` has written.

Nothing here needs torch: ONNX Runtime and NumPy are enough to predict.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from hintseg.cores import threads_of_rank
from hintseg.documents.from_json import parse_json
from hintseg.errors import ConfigError, HintSegError, MissingExtraError, NotFiniteError, RunError
from hintseg.images.photographs import read_image
from hintseg.images.reading import AS_STORED, Reading
from hintseg.structures import ClassSet, Image, LabelMap

if TYPE_CHECKING:
    import onnxruntime

SUFFIX = ".onnx"
FORMAT = 1
IMAGE, SCORES, CELLS = "image", "scores", "cells"  # input and outputs of the graph
MOST_SIDE, MOST_ZOOM = 2**15, 16.0  # that a file can ask for
STRIDE = 4  # pixels of the image at its working size per cell of the scores
BAND_VALUES = 2**20  # numbers in one band of full-resolution scores: 4 MB stay in the cache
MOST_SCORES = 2**26  # numbers that the graph may enlarge at once: 256 MB
SPANS = ("intensity", "channels")  # what JSON has as lists

Cells = Float[np.ndarray, "classes rows columns"]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class OnnxDescription:
    """What stands in the metadata of the file, beside the graph."""

    classes: ClassSet
    palette: tuple[Colour, ...]  # red, green, blue of each class
    size: int | None  # longer side of the images at which the model was trained
    zoom: float  # times that: at which the graph sees them
    fixed: tuple[int, int] | None  # height and width of the only images it takes; None: any
    reading: Reading = AS_STORED  # how image files become what it sees

    def metadata(self) -> dict[str, str]:
        """As ONNX keeps it: JSON under names that start with "hintseg."."""
        values = {
            "format": FORMAT,
            "classes": self.classes.names,
            "background": self.classes.background,
            "palette": self.palette,
            "size": self.size,
            "zoom": self.zoom,
            "fixed": self.fixed,
            "reading": {
                "intensity": self.reading.intensity,
                "channels": self.reading.channels,
                "every_depth": self.reading.every_depth,
            },
        }
        return {f"hintseg.{name}": json.dumps(value) for name, value in values.items()}

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str]) -> "OnnxDescription":
        """What `metadata` has written.

        Raises:
            RunError: Something is missing or damaged, or of a newer hintseg.
        """
        try:
            known = {
                name.removeprefix("hintseg."): parse_json(value)
                for name, value in metadata.items()
                if name.startswith("hintseg.")
            }
            if known["format"] != FORMAT:
                raise RunError("was written by another version of hintseg; update hintseg")
            return cls(
                _classes(known["classes"], known["background"]),
                tuple((int(r), int(g), int(b)) for r, g, b in known["palette"]),
                _side(known["size"]),
                _zoom(known["zoom"]),
                _fixed(known["fixed"]),
                _reading_of(known["reading"]),
            )
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise RunError(
                f"is no model that `hintseg export onnx` has written ({error!r:.80}); export it "
                "from its run"
            ) from error


class OnnxPredictor:
    """Labels every pixel of images by an ONNX file; the counterpart of `Predictor`.

    Args:
        file: What `hintseg export onnx` has written.
        device: "cpu", "cuda", or "auto": a GPU where ONNX Runtime can use one.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        RunError: The file is missing, damaged, or was not written by hintseg.
        ConfigError: There is no such device.
    """

    def __init__(self, file: Path, *, device: str = "auto") -> None:
        self.file = file
        self.session = _session(file, device)
        metadata = self.session.get_modelmeta().custom_metadata_map
        try:
            self.description = OnnxDescription.of_metadata(metadata)
        except HintSegError as error:
            raise RunError(f"{file}: {error}") from error

    @property
    def classes(self) -> ClassSet:
        """What the scores stand for."""
        return self.description.classes

    def read(self, file: Path) -> Image:
        """An image file as the model sees it; DataError if it cannot be read."""
        return read_image(file, self.description.reading)

    def predict(self, image: Image) -> LabelMap:
        """Class index of every pixel, at the resolution of the image.

        The graph enlarges the scores where they are not too many. Else they come as cells of 4 x 4
        pixels of the working size and are enlarged here band by band: all at once would be a
        gigabyte for 21 classes of a photograph of 12 megapixels.

        Raises:
            ConfigError: The graph is made for images of another size.
            NotFiniteError: A score is NaN or infinite.
        """
        height, width = image.shape[:2]
        if len(self.classes) * height * width <= MOST_SCORES:
            labels, best = _arg_max(self.scores(image))
            _check_finite(best)
            return labels
        cells = self.cells(image)
        _check_finite(cells)
        return label_by_cells(cells, height, width, covered=self.fit(height, width))

    def cells(self, image: Image) -> Cells:
        """Probabilities of the classes for cells of 4 x 4 pixels of the image at working size."""
        self._check_size(image)
        return self._run(CELLS, image, self._only_what_is_asked)

    def scores(self, image: Image) -> Float[np.ndarray, "classes height width"]:
        """Probabilities of the classes at the resolution of the image; as many numbers."""
        self._check_size(image)
        return self._run(SCORES, image)

    def _run(
        self, output: str, image: Image, options: "onnxruntime.RunOptions | None" = None
    ) -> Cells:
        try:
            (found,) = self.session.run([output], {IMAGE: image}, options)
        except Exception as error:  # its many errors have no common root
            reason = " ".join(str(error).split())[:160]
            raise RunError(f"{self.file}: cannot be run ({reason}); export it again") from error
        found = np.asarray(found)
        if found.ndim != 3 or len(found) != len(self.classes) or found.dtype != np.float32:
            raise RunError(
                f"{self.file}: gives {found.dtype} of {found.shape}, not scores of its "
                f"{len(self.classes)} classes; export it again"
            )
        return found

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the graph sees an image (`resize.fit_size`, without torch)."""
        longest, size = max(height, width), self.description.size
        factor = self.description.zoom * (longest if size is None else size) / longest
        return max(1, round(height * factor)), max(1, round(width * factor))

    @cached_property
    def _only_what_is_asked(self) -> "onnxruntime.RunOptions":
        import onnxruntime  # noqa: PLC0415 - an extra

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        return options

    def _check_size(self, image: Image) -> None:
        fixed = self.description.fixed
        if fixed is not None and image.shape[:2] != fixed:
            raise ConfigError(
                f"{self.file}: takes images of {fixed[0]} x {fixed[1]} pixels (height x width) "
                f"only, got {image.shape[0]} x {image.shape[1]}; export it without --fixed"
            )


def label_by_cells(cells: Cells, height: int, width: int, *, covered: tuple[int, int]) -> LabelMap:
    """Arg-max of the scores, bilinear at height x width pixels, in bands of rows.

    Args:
        cells: Scores on a grid of cells of 4 x 4 pixels.
        height: Rows of the result.
        width: Columns of the result.
        covered: Height and width of the scored image; the last cells may reach beyond.
    """
    labels = np.empty((height, width), dtype=np.int16)
    down = _coordinates(height, covered[0], cells.shape[1])
    across = _coordinates(width, covered[1], cells.shape[2])
    for rows in _bands(height, max(1, BAND_VALUES // (cells.shape[0] * width))):
        band = _lerp(_lerp(cells, down[rows], axis=1), across, axis=2)
        labels[rows] = _arg_max(band)[0]
    return labels


def _arg_max(scores: Cells) -> tuple[LabelMap, Float[np.ndarray, "rows columns"]]:
    """The class of the highest score and the score; NumPy's own takes three to eight times as long.

    A NaN becomes the highest score.
    """
    best: np.ndarray = scores[0].copy()
    labels = np.zeros(best.shape, dtype=np.int16)
    for index in range(1, len(scores)):
        labels[scores[index] > best] = index
        np.maximum(best, scores[index], out=best)
    return labels, best


def _check_finite(scores: Float[np.ndarray, "..."]) -> None:
    if not np.isfinite(scores).all():
        raise NotFiniteError("the model gives NaN or infinity, not scores; train again")


def is_onnx(path: Path) -> bool:
    """Whether a source of predictions is an ONNX file, by its name."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def _bands(height: int, step: int) -> Iterator[slice]:
    yield from (slice(first, min(first + step, height)) for first in range(0, height, step))


def _coordinates(out: int, covered: int, cells: int) -> Float[np.ndarray, " out"]:
    """Where the centres of the output pixels lie among the cells, as fractional indices."""
    pixels = (np.arange(out, dtype=np.float32) + 0.5) * np.float32(covered / out)
    return (pixels / STRIDE - 0.5).clip(0, cells - 1)


def _lerp(
    values: Float[np.ndarray, "_ _ _"], at: Float[np.ndarray, " out"], *, axis: int
) -> Float[np.ndarray, "_ _ _"]:
    """Linear interpolation at fractional indices along one axis."""
    low: Int[np.ndarray, " out"] = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    shape = [-1 if axis == other else 1 for other in range(values.ndim)]
    fraction = (at - low).astype(np.float32).reshape(shape)
    first: np.ndarray = values.take(low, axis=axis)
    mixed: np.ndarray = values.take(high, axis=axis)
    mixed -= first
    mixed *= fraction
    mixed += first
    return mixed


def _classes(names: Any, background: Any) -> ClassSet:  # noqa: ANN401 - whatever a file holds
    """The classes; TypeError where their names are no texts."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"classes: {names!r:.40}")
    if background is not None and type(background) is not int:
        raise TypeError(f"background: {background!r:.40}")
    return ClassSet(tuple(names), background)


def _side(value: Any) -> int | None:  # noqa: ANN401 - whatever a file holds
    """A side of an image, or None; ValueError for anything else."""
    if value is not None and not (type(value) is int and 1 <= value <= MOST_SIDE):
        raise ValueError(f"{value!r:.40} is no side of an image")
    return value


def _zoom(value: Any) -> float:  # noqa: ANN401
    if type(value) not in (int, float) or not 0 < value <= MOST_ZOOM:
        raise ValueError(f"zoom: {value!r:.40}")
    return float(value)


def _fixed(value: Any) -> tuple[int, int] | None:  # noqa: ANN401
    if value is None:
        return None
    height, width = _side(value[0]), _side(value[1])
    if height is None or width is None:
        raise ValueError(f"fixed: {value!r:.40}")
    return height, width


def _reading_of(known: dict[str, Any]) -> Reading:
    spans = {name: None if known[name] is None else tuple(known[name]) for name in SPANS}
    return Reading(**{**known, **spans})


def _session(file: Path, device: str) -> "onnxruntime.InferenceSession":
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("onnxruntime", extra="onnx", purpose=f"{file}") from error
    if not file.is_file():
        raise RunError(f"{file}: no such file; write it by `hintseg export onnx RUN --out {file}`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_of_rank(1)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as in `cores`
    options.log_severity_level = 3  # errors: they are raised as well
    providers = _providers(onnxruntime.get_available_providers(), device)
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # its many errors have no common root
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"{file}: no ONNX model that can be run here ({reason})") from error


def _providers(known: list[str], device: str) -> list[str]:
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device}: choose auto, cpu or cuda")
    cuda = "CUDAExecutionProvider"
    if device == "cuda" and cuda not in known:
        raise ConfigError("--device cuda: this ONNX Runtime uses no GPU; install onnxruntime-gpu")
    return [cuda] * (device != "cpu" and cuda in known) + ["CPUExecutionProvider"]
