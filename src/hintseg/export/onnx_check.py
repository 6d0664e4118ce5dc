"""Whether a file that was written gives what torch gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hintseg.errors import RunError
from hintseg.predict.onnx_model import OnnxPredictor
from hintseg.predict.predictor import Predictor
from hintseg.predict.tiles import ALIGNED, scores_at_resolution
from hintseg.resize import resize_image
from hintseg.structures import Image

LEAST_EQUAL = 0.9999  # share of the pixels whose labels are the same
LEAST_EQUAL_HALF = 0.999  # where the network computes in 16 bits
SIZES = ((192, 256), (333, 250), (70, 90), (481, 321), (37, 200), (5, 3))  # none like another
GRAIN = 12  # pixels; of the drawn images


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two predictions of the same images are apart."""

    images: int
    largest: float  # difference of two probabilities
    equal: float  # share of the pixels with the same label, 0 to 1

    def __str__(self) -> str:
        return (
            f"{self.equal:.4%} of the labels of {self.images} images as torch gives them, "
            f"largest difference of a probability {self.largest:.2g}"
        )


def agreement(torch_: Predictor, onnx: OnnxPredictor, images: Sequence[Image]) -> Agreement:
    """Compare the graph with torch at the resolution of the images.

    Torch sees each image as a whole, as the graph does.

    Raises:
        ConfigError: The graph takes images of another size only.
        NotFiniteError: A score of torch's is NaN or infinite.
    """
    largest, equal, pixels = 0.0, 0, 0
    for image in images:
        height, width = image.shape[:2]
        fitted = torch_.fit(height, width)
        whole = -(-max(*fitted, 2 * 128) // ALIGNED) * ALIGNED
        wanted = torch_.predict(image, tile=whole)
        found = onnx.scores(image)
        scores = scores_at_resolution(wanted.scores, height, width, covered=fitted).numpy()
        largest = max(largest, float(np.abs(found - scores).max()))
        equal += int((found.argmax(axis=0) == wanted.labels).sum())
        pixels += height * width
    return Agreement(len(images), largest, equal / pixels)


def check_agreement(found: Agreement, file: Path, *, half: bool) -> None:
    """Refuse a file that labels otherwise than torch; RunError says by how much."""
    least = LEAST_EQUAL_HALF if half else LEAST_EQUAL
    if not found.equal >= least:
        remedy = "export without --half" if half else "check with photographs like yours (--check)"
        raise RunError(
            f"{file}: not written, since only {found} (at least {least:.2%} are asked for); "
            f"{remedy}"
        )


def drawn_images() -> Iterator[Image]:
    """Coloured clouds of several sizes, for models whose photographs are not at hand."""
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        rows, columns = height // GRAIN + 2, width // GRAIN + 2
        clouds = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        large = resize_image(clouds, height + GRAIN, width + GRAIN)[:height, :width]
        noise = rng.normal(0, 6, large.shape)
        yield (large + noise).clip(0, 255).astype(np.uint8)
