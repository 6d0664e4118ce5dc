"""Whether the classifier or the nearest known segments label the val split better."""

from typing import Any

from hintseg.evaluation import predicted_pairs
from hintseg.methods.job import Job
from hintseg.methods.validating import predictor_of, validation_names
from hintseg.metrics import evaluate_pairs
from hintseg.models.embedder import Segmenter
from hintseg.predict.options import PredictOptions
from hintseg.predict.retrieval.index import PrototypeIndex


def compared_on_val(job: Job[Any], model: Segmenter, index: PrototypeIndex) -> dict[str, float]:
    """Mean IoU on the val split by each of the two; nothing where it has no masks."""
    names = validation_names(job.dataset, job.settings.validate_images)
    if not names or not len(index):
        return {}
    predictor, found = predictor_of(job, model, lambda: index), {}
    for by in ("classifier", "retrieval"):
        pairs = predicted_pairs(predictor, job.dataset, names, options=PredictOptions(by=by))
        miou = evaluate_pairs(pairs, len(job.dataset.classes)).metrics.miou
        found[by] = round(float(miou), 4)
    return found
