"""Whether the classifier or the nearest known segments label the val split better."""

from typing import Any

from hintseg.methods.job import Job
from hintseg.methods.validating import evaluated_on_val, predictor_of, validation_names
from hintseg.models.embedder import Segmenter
from hintseg.predict.retrieval.index import PrototypeIndex


def compared_on_val(job: Job[Any], model: Segmenter, index: PrototypeIndex) -> dict[str, float]:
    """Mean IoU on the val split by each of the two; nothing where it has no masks."""
    if not validation_names(job.dataset, job.settings.validate_images) or not len(index):
        return {}
    predictor = predictor_of(job, model, lambda: index)
    scores = {by: evaluated_on_val(job, predictor, by) for by in ("classifier", "retrieval")}
    return {by: round(float(score.metrics.miou), 4) for by, score in scores.items()}
