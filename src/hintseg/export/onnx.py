"""A run -> one ONNX file that holds the whole prediction, checked against torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from hintseg.errors import ConfigError, MissingExtraError
from hintseg.export.onnx_check import Agreement, agreement, check_agreement, drawn_images
from hintseg.files import refuse_unwritable, replacing
from hintseg.images.label_maps import palette
from hintseg.models.saved import ModelDescription, load_model
from hintseg.predict.folders.inputs import find_inputs
from hintseg.predict.onnx_model import SUFFIX, OnnxDescription, OnnxPredictor
from hintseg.predict.predictor import Predictor
from hintseg.resize import resize_image
from hintseg.structures import Image
from hintseg.versions import version_of

FIRST_OPSET, LAST_OPSET = 18, 24
"""Of operators: the first that pads by axes; the last that we have tried."""

ABOUT = (
    "image: uint8 RGB, upright, (height, width, 3). scores: probability of each class for each "
    "pixel, (classes, height, width). cells: the same for 4 x 4 pixels of the image at its working "
    "size, of which the scores are made. Names and colours of the classes are in the metadata."
)
MOST_CHECKED = 12  # photographs
MOST_SIDE = 2**15  # pixels


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """How a graph is written.

    Raises:
        ConfigError: A value that cannot work.
    """

    opset: int = FIRST_OPSET  # version of the operators
    fixed: tuple[int, int] | None = None  # height and width of the only images it takes; None: any
    half: bool = False  # the network computes in 16 bits

    def __post_init__(self) -> None:
        if not FIRST_OPSET <= self.opset <= LAST_OPSET:
            raise ConfigError(
                f"opset: must be {FIRST_OPSET} to {LAST_OPSET} (older ones do not pad by "
                f"axes), got {self.opset}"
            )
        if self.fixed is not None and not all(0 < side <= MOST_SIDE for side in self.fixed):
            raise ConfigError(f"fixed: must be height and width in pixels, got {self.fixed}")


@dataclass(frozen=True, slots=True)
class OnnxExport:
    """A file that was written, and how it was found."""

    file: Path
    bytes: int
    agreement: Agreement


ANY_SIZE = OnnxOptions()


def export_onnx(
    run: Path, out: Path, options: OnnxOptions = ANY_SIZE, *, check: Sequence[str] = ()
) -> OnnxExport:
    """Write the whole prediction of a run as one file; nothing is left of one that is wrong.

    Args:
        run: Folder of a finished run.
        out: Ends in .onnx.
        options: How it is written.
        check: Folders, files or patterns of photographs, of which the first twelve are labelled by
            the file and by torch; none: drawn images of several sizes.

    Raises:
        MissingExtraError: The packages onnx and onnxruntime are needed.
        RunError: The folder holds no trained model, or one of a kind that cannot be exported; or
            the file gives other labels than torch.
        ConfigError: The name does not end in .onnx.
        DataError: A photograph to check with is missing or broken.
        WriteError: The file cannot be written.
    """
    if out.suffix.lower() != SUFFIX:
        raise ConfigError(f"{out}: choose a name that ends in {SUFFIX}")
    _ask_for_packages()
    refuse_unwritable(out)
    predictor, model, description = _loaded(run)
    images = _photographs(predictor, check) if check else list(drawn_images())
    content = _graph(model, description, options)
    with replacing(out) as temporary:
        temporary.write_bytes(content)
        written = OnnxPredictor(temporary, device="cpu")
        found = agreement(predictor, written, _fitted(images, options.fixed))
        check_agreement(found, out, half=options.half)
    return OnnxExport(out, out.stat().st_size, found)


def _ask_for_packages() -> None:
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="onnx", purpose="export onnx")


def _loaded(run: Path) -> tuple[Predictor, nn.Module, ModelDescription]:
    """The model of a run, and a predictor by it."""
    model, description = load_model(run)
    predictor = Predictor(
        model,
        description.class_set(),
        size=description.size,
        zoom=description.zoom,
        reading=description.reading,
    )
    return predictor, model, description


def _photographs(predictor: Predictor, check: Sequence[str]) -> list[Image]:
    files = list(find_inputs(check).images.values())[:MOST_CHECKED]
    return [predictor.read(file) for file in files]


def _fitted(images: Sequence[Image], fixed: tuple[int, int] | None) -> list[Image]:
    """The images as a graph for images of one size takes them."""
    return [image if fixed is None else resize_image(image, *fixed) for image in images]


def _graph(model: nn.Module, description: ModelDescription, options: OnnxOptions) -> bytes:
    """The graph with its metadata, as the file holds it."""
    from onnx import helper  # noqa: PLC0415 - the extra

    from hintseg.export.onnx_graph import prediction_graph  # noqa: PLC0415 - the extra

    proto = prediction_graph(
        model, description, opset=options.opset, fixed=options.fixed, half=options.half
    )
    about = OnnxDescription(
        description.class_set(),
        tuple((int(r), int(g), int(b)) for r, g, b in palette(len(description.classes))),
        description.size,
        description.zoom,
        options.fixed,
        description.reading,
    )
    proto.producer_name, proto.producer_version = "hintseg", version_of("hintseg") or ""
    proto.doc_string = ABOUT
    helper.set_model_props(proto, about.metadata())
    content: bytes = proto.SerializeToString()
    return content
