"""hintseg: learn to label every pixel from a few cheap hints.

The table of contents of the library; every name is loaded when it is first used, so that importing
the package costs nothing.
"""

from typing import TYPE_CHECKING

from hintseg.lazy import on_first_use

if TYPE_CHECKING:
    from hintseg.cores import use_cores
    from hintseg.data.dataset import Dataset, open_dataset
    from hintseg.data.simulated import simulate_dataset
    from hintseg.errors import HintSegError
    from hintseg.evaluation import Figures, evaluate
    from hintseg.predict.prediction import Prediction
    from hintseg.predict.predictor import Predictor, load
    from hintseg.refine.crf import dense_crf
    from hintseg.structures import UNLABELLED, VOID, ClassSet, Hints, Shape
    from hintseg.training import TrainedRun, train

__version__ = "0.1.0"
__all__ = [
    "UNLABELLED",
    "VOID",
    "ClassSet",
    "Dataset",
    "Figures",
    "HintSegError",
    "Hints",
    "Prediction",
    "Predictor",
    "Shape",
    "TrainedRun",
    "dense_crf",
    "evaluate",
    "load",
    "open_dataset",
    "simulate_dataset",
    "train",
    "use_cores",
]

_HOMES = {
    "UNLABELLED": "structures",
    "VOID": "structures",
    "ClassSet": "structures",
    "Dataset": "data.dataset",
    "HintSegError": "errors",
    "Hints": "structures",
    "Prediction": "predict.prediction",
    "Predictor": "predict.predictor",
    "Shape": "structures",
    "dense_crf": "refine.crf",
    "Figures": "evaluation",
    "evaluate": "evaluation",
    "load": "predict.predictor",
    "open_dataset": "data.dataset",
    "simulate_dataset": "data.simulated",
    "TrainedRun": "training",
    "train": "training",
    "use_cores": "cores",
}


__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
