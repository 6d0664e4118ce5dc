"""What a model makes of one image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from hintseg.errors import ConfigError
from hintseg.images.label_maps import write_label_map
from hintseg.predict.tiles import scores_at_resolution
from hintseg.structures import ClassSet, LabelMap


@dataclass(frozen=True, slots=True)
class Prediction:
    """A dense labelling of one image at its own resolution."""

    labels: LabelMap  # class index for every pixel
    scores: Float[Tensor, "classes rows columns"]  # probabilities, on a grid over the image
    classes: ClassSet
    stride: int = 4  # side of a cell of the scores, in pixels of the image at its working size
    covered: tuple[int, int] | None = None  # height and width of that; None: of all the cells

    def saliency(self) -> Float[np.ndarray, "height width"]:
        """How probable it is that a pixel is no background, 0 to 1, at the image's own resolution.

        Raises:
            ConfigError: No class is the background.
        """
        background = self.classes.background
        if background is None:
            raise ConfigError(
                f"no class of {', '.join(self.classes.names)} is the background, so nothing is "
                "salient; name it under background: in dataset.yaml and train again"
            )
        rows, columns = self.scores.shape[1:]
        covered = self.covered or (rows * self.stride, columns * self.stride)
        ground = self.scores[background : background + 1]
        height, width = self.labels.shape
        found = scores_at_resolution(1 - ground, height, width, covered=covered, stride=self.stride)
        return found[0].numpy()

    def save(self, path: str | Path) -> None:
        """Write the labels as an indexed PNG with the palette of the classes.

        Raises:
            ConfigError: The name does not end in .png.
            WriteError: The file cannot be written.
        """
        file = Path(path)
        if file.suffix.lower() != ".png":
            raise ConfigError(f"{file}: label maps are PNG files; choose a name that ends in .png")
        write_label_map(file, self.labels, classes=len(self.classes))
