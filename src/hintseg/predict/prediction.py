"""What a model makes of one image."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from hintseg.errors import ConfigError
from hintseg.images.label_maps import write_label_map
from hintseg.structures import ClassSet, LabelMap


@dataclass(frozen=True, slots=True)
class Prediction:
    """A dense labelling of one image at its own resolution."""

    labels: LabelMap  # class index for every pixel
    scores: Float[Tensor, "classes rows columns"]  # probabilities, on a grid over the image
    classes: ClassSet
    stride: int = 4  # side of a cell of the scores, in pixels of the image at its working size

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
