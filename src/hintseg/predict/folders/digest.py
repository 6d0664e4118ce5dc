"""What a model is, in one line: so that a folder holds the predictions of one model only."""

import hashlib

from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import Predictor


def digest_of(predictor: Predictor, options: PredictOptions) -> str:
    """Hash of all of a model that decides its predictions."""
    digest = hashlib.sha256(f"{predictor.size} {predictor.zoom}".encode())
    if predictor.reading:
        digest.update(repr(predictor.reading).encode())
    for tensor in predictor.model.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    if options.retrieves:
        known = predictor.prototypes
        digest.update(f"{known.grid} {known.iterations}".encode())
        digest.update(known.vectors.tobytes() + known.label.tobytes())
    return digest.hexdigest()
